package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

// made is what a trial has made on the servers, or was about to make, and removes from given ones.
type made struct{ databases, logins, topics, groups []string }

// createDatabase makes a database with a schema.
func (s *servers) createDatabase(ctx context.Context, name string, schema sql.Schema) error {
	s.made.databases = append(s.made.databases, name)
	err := s.administer(ctx, func(conn *pgx.Conn) error { return access.CreateDatabase(ctx, conn, name) })
	if err != nil {
		return err
	}
	return migrate.Up(ctx, s.urlOf(name), schema)
}

// ensureLogin makes a login. Its group must be there: a schema has made it.
func (s *servers) ensureLogin(ctx context.Context, l access.Login) error {
	s.made.logins = append(s.made.logins, l.Name)
	return s.administer(ctx, func(conn *pgx.Conn) error { return l.Ensure(ctx, conn) })
}

// ensureTopic makes a topic for events.
func (s *servers) ensureTopic(ctx context.Context, name string) error {
	s.made.topics = append(s.made.topics, name)
	_, err := broker.Ensure(ctx, s.client, name, 0)
	return err
}

// closeTimeout bounds what ends servers, or tidies up given ones.
const closeTimeout = time.Minute

// close ends the servers, or removes from given ones what was made there, and removes the directory. The programs must be
// gone.
func (s *servers) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var errs []error
	if s.db != nil {
		_ = s.db.Close(ctx) // what was interrupted has closed it already
	}
	if s.postgres == nil && s.admin != nil {
		errs = append(errs, s.scrubPostgres(ctx))
	}
	if s.client != nil {
		if s.kafka == nil {
			errs = append(errs, s.scrubKafka(ctx))
		}
		s.client.Close()
	}
	if s.kafka != nil {
		errs = append(errs, s.kafka.Kill()) // its files go, too
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop(ctx, pgserver.Immediate))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func (s *servers) scrubKafka(ctx context.Context) error {
	admin := kadm.NewClient(s.client)
	_, err := admin.DeleteTopics(ctx, s.made.topics...)
	return errors.Join(err, s.scrubGroups(ctx, admin))
}

// scrubGroups removes the groups. One with a member that was killed is in the way until that one's session has ended.
func (s *servers) scrubGroups(ctx context.Context, admin *kadm.Client) error {
	for left := s.made.groups; len(left) > 0; {
		deleted, err := admin.DeleteGroups(ctx, left...)
		if err != nil {
			return fmt.Errorf("delete the groups: %w", err)
		}
		left = nil
		for _, d := range deleted {
			if errors.Is(d.Err, kerr.NonEmptyGroup) {
				left = append(left, d.Group)
			}
		}
		if len(left) > 0 && ops.Sleep(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("groups %v have members still, and are left", left)
		}
	}
	return nil
}

// A walsender whose client is gone holds its slot for a moment.
const endSenders = `
SELECT pg_terminate_backend(active_pid, 10000)
FROM pg_replication_slots
WHERE database = ANY($1) AND active_pid IS NOT NULL`

const dropSlots = `
SELECT pg_drop_replication_slot(slot_name)
FROM pg_replication_slots
WHERE database = ANY($1)`

// scrubPostgres removes what was made on a given server, as far as it was made.
func (s *servers) scrubPostgres(ctx context.Context) error {
	return s.administer(ctx, func(conn *pgx.Conn) error {
		for _, statement := range []string{endSenders, dropSlots} {
			if _, err := conn.Exec(ctx, statement, s.made.databases); err != nil {
				return fmt.Errorf("drop the slots of %v: %w", s.made.databases, err)
			}
		}
		for _, name := range s.made.databases {
			if err := dropDatabase(ctx, conn, name); err != nil {
				return err
			}
		}
		for _, name := range s.made.logins {
			if _, err := conn.Exec(ctx, "DROP ROLE IF EXISTS "+pgx.Identifier{name}.Sanitize()); err != nil {
				return fmt.Errorf("drop login %s: %w", name, err)
			}
		}
		return nil
	})
}

func dropDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}
