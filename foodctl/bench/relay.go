package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// relay is a relay of the trial.
type relay struct{ program }

// The roles that a relay says it has (metric relay_role).
const (
	active  = "active"
	standby = "standby"
)

// relay names a relay of the trial without starting it. It reaches Postgres and Kafka at these addresses, "" for the
// servers themselves.
func (s *servers) relay(name, postgres, kafka string) (*relay, error) {
	p, err := s.program(name, s.Relay, "RELAY_LISTEN",
		"ORDERS_DATABASE_URL="+s.relayURL(postgres), "KAFKA_BROKERS="+cmp.Or(kafka, s.Brokers), "TOPIC="+s.names.Topic,
		"RELAY_SLOT="+s.names.Slot)
	return &relay{p}, err
}

// await waits until the relay has the role.
func (r *relay) await(ctx context.Context, role string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s is not %s within %s", r.name, role, patience))
	defer cancel()
	return r.until(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		m, err := status.Scrape(ctx, r.url)
		return err == nil && m.Is("relay_role", "role", role), nil // it does not answer before it has begun
	})
}

// prime lets a relay run until slot and checkpoint exist and the slot is up to date, and stops it.
func (s *servers) prime(ctx context.Context, r *relay) error {
	err := r.start()
	if err == nil {
		err = r.await(ctx, active)
	}
	if err == nil {
		err = s.settle(ctx, r)
	}
	return errors.Join(err, r.stop(context.WithoutCancel(ctx)))
}

const selectBehind = `
SELECT (confirmed_flush_lsn - restart_lsn)::bigint
FROM pg_replication_slots
WHERE slot_name = $1`

// settle waits until the server would begin to read the log for the slot close to where that was acknowledged. Right
// after a backlog it would begin inside of that one, where the last snapshot of running transactions stood that it had
// decoded, and the next measurement would pay for decoding it a second time. What it takes is a snapshot, which a
// checkpoint writes, and then an acknowledgement; a relay gives one every ten seconds while there is nothing to
// publish.
func (s *servers) settle(ctx context.Context, r *relay) error {
	const near = 100 << 10 // bytes
	late := fmt.Errorf("slot %s does not follow within %s", s.names.Slot, patience)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	return r.until(ctx, time.Second, func(ctx context.Context) (bool, error) {
		var behind int64
		if err := s.db.QueryRow(ctx, selectBehind, s.names.Slot).Scan(&behind); err != nil || behind <= near {
			return err == nil, err
		}
		_, err := s.db.Exec(ctx, "CHECKPOINT")
		return false, err
	})
}

const selectSlot = `
SELECT coalesce(active_pid, 0), coalesce(confirmed_flush_lsn - '0/0', 0)::bigint
FROM pg_replication_slots
WHERE slot_name = $1`

// slot says which server process streams from a slot, 0 for none, and up to where it was acknowledged.
func (s *servers) slot(ctx context.Context, name string) (pid int, confirmed int64, err error) {
	if err = s.db.QueryRow(ctx, selectSlot, name).Scan(&pid, &confirmed); err != nil {
		err = fmt.Errorf("slot %s: %w", name, err)
	}
	return pid, confirmed, err
}

// released waits until nobody streams from a slot: a server process may outlive its connection for a moment.
func (s *servers) released(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		pid, _, err := s.slot(ctx, name)
		if err != nil || pid == 0 {
			return err
		}
		if err := ops.Sleep(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("slot %s stays in use: %w", name, err)
		}
	}
}
