package stack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
)

// Scrub removes from given servers what a trial's Start made there. The stack must be stopped. It must not be called for
// DefaultNames.
func (s *Stack) Scrub(ctx context.Context) error {
	if s.config.Names.Login == DefaultNames().Login {
		return errors.New("scrub: this is no trial's system")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return errors.Join(s.scrubDatabases(ctx), s.scrubTopics(ctx))
}

// A walsender whose client is gone holds its slot for a moment.
const endSender = `
SELECT pg_terminate_backend(active_pid, 10000)
FROM pg_replication_slots
WHERE slot_name = $1 AND active_pid IS NOT NULL`

const dropSlot = `
SELECT pg_drop_replication_slot(slot_name)
FROM pg_replication_slots
WHERE slot_name = $1`

// dropSlot drops the relay's slot if it is there. The relay must be gone.
func (s *server) dropSlot(ctx context.Context, n Names) error {
	err := s.connect(ctx, n.OrdersDB, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, endSender, n.Slot); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, dropSlot, n.Slot)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop slot %s: %w", n.Slot, err)
	}
	return nil
}

func (s *Stack) scrubDatabases(ctx context.Context) error {
	if s.postgres != nil {
		return nil // it is in the directory
	}
	n := s.config.Names
	if err := s.server.dropSlot(ctx, n); err != nil {
		return err
	}
	return s.server.connect(ctx, s.server.maintenance(), func(conn *pgx.Conn) error {
		var errs []error
		drop := func(kind, name, option string) {
			if _, err := conn.Exec(ctx, fmt.Sprintf("DROP %s IF EXISTS %s %s", kind, pgx.Identifier{name}.Sanitize(), option)); err != nil {
				errs = append(errs, fmt.Errorf("drop %s: %w", name, err))
			}
		}
		drop("DATABASE", n.OrdersDB, "WITH (FORCE)")
		drop("DATABASE", n.ReadModelDB, "WITH (FORCE)")
		for _, l := range s.logins.all() {
			drop("ROLE", l.Name, "")
		}
		return errors.Join(errs...)
	})
}

func (s *Stack) scrubTopics(ctx context.Context) error {
	if s.config.DevBroker() {
		return nil // it is in memory
	}
	client, err := broker.Connect(ctx, s.config.Brokers)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	n := s.config.Names
	_, errTopics := admin.DeleteTopics(ctx, n.Topic, n.CheckpointTopic())
	_, errGroup := admin.DeleteGroups(ctx, n.Group)
	return errors.Join(errTopics, errGroup)
}
