package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// pauseCommand is relay pause.
type pauseCommand struct {
	config `embed:""`
}

// Validate is called by kong.
func (c *pauseCommand) Validate() error {
	if c.Reason == "" {
		return errors.New("pause needs --reason: whoever finds nothing published will want to know why")
	}
	return nil
}

// resumeCommand is relay resume.
type resumeCommand struct {
	config `embed:""`
}

// pausedPoll is how often it is looked whether publishing is paused, or goes on.
const pausedPoll = time.Second

// paused is an operator's wish that the relays of a slot publish nothing. It is kept in the orders database, where every relay
// of the slot finds it, whichever starts next.
type paused struct {
	reason string
	since  time.Time
}

// Error says what to do about it; it is why a relay is not ready.
func (p *paused) Error() string {
	return fmt.Sprintf("paused since %s: %s; relay resume lets it go on", p.since.Format(time.RFC3339), p.reason)
}

// Of a database that is not ours, the table may not be there. To try and fail would be an error in the server's log each time.
const pausesExist = `
SELECT to_regclass('relay_pauses') IS NOT NULL`

const selectPause = `
SELECT reason, paused_at
FROM relay_pauses
WHERE slot = $1`

// findPause returns nil if the slot's relays may publish.
func findPause(ctx context.Context, conn *pgx.Conn, slot string) (*paused, error) {
	var exist bool
	if err := conn.QueryRow(ctx, pausesExist).Scan(&exist); err != nil {
		return nil, fmt.Errorf("is publishing paused: %w", err)
	}
	if !exist {
		return nil, nil //nolint:nilnil // not paused
	}
	var p paused
	switch err := conn.QueryRow(ctx, selectPause, slot).Scan(&p.reason, &p.since); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // not paused
	case err != nil:
		return nil, fmt.Errorf("is publishing paused: %w", err)
	}
	p.since = p.since.UTC()
	return &p, nil
}

// notPaused is findPause as an error.
func (s *session) notPaused(ctx context.Context) error {
	p, err := findPause(ctx, s.database, s.config.Slot)
	if p != nil {
		return p
	}
	return err
}

// begin holds the slot, or finds that there is none, when publishing is not paused.
//
// It is looked at with the slot in hand, here and where a load has made it anew. Looked at before, a pause could come between
// the two, see that nobody holds the slot, and say that nothing is published.
func (s *session) begin(ctx context.Context) error {
	for {
		if err := s.lock(ctx, s.standBy); err != nil {
			return s.unusable(ctx, err)
		}
		p, err := findPause(ctx, s.database, s.config.Slot)
		if p == nil || err != nil {
			return err
		}
		s.release()
		if err := s.untilResumed(ctx, p); err != nil {
			return err
		}
	}
}

// untilResumed waits, with the slot free.
func (s *session) untilResumed(ctx context.Context, p *paused) (err error) {
	s.log.Info("publishing paused", "reason", p.reason)
	s.metrics.is(rolePaused)
	for p != nil {
		s.health.Set(healthRelay, p)
		if err := ops.Sleep(ctx, pausedPoll); err != nil {
			return err
		}
		if p, err = findPause(ctx, s.database, s.config.Slot); err != nil {
			return err
		}
	}
	s.log.Info("publishing goes on")
	s.metrics.is(roleStarting)
	s.health.Set(healthRelay, errors.New("starting"))
	return nil
}

// noTable says whether pauses have no table, as in a database that is not ours.
func noTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01" // undefined_table
}

var errNoPauses = errors.New("a pause is kept in a table that this database does not have: CREATE TABLE relay_pauses (slot text PRIMARY KEY, " +
	"reason text NOT NULL, paused_at timestamptz NOT NULL DEFAULT now()); and grant the relay's role SELECT, INSERT and DELETE on it; or stop the relays")

const insertPause = `
INSERT INTO relay_pauses (slot, reason)
VALUES ($1, $2)
ON CONFLICT DO NOTHING`

// pause has every relay of the slot stop, now and when it is started, and returns when none holds the slot. What the one that
// published had at hand is committed then, or given up; of what was given up, Kafka may still commit what it was asked to.
func (r *relay) pause(ctx context.Context, out io.Writer) error {
	return r.ask(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, insertPause, r.config.Slot, r.config.Reason)
		if noTable(err) {
			return errNoPauses
		}
		if err != nil {
			return fmt.Errorf("pause: %w", err)
		}
		p, err := findPause(ctx, conn, r.config.Slot)
		if err != nil {
			return err
		}
		if p != nil && p.reason != r.config.Reason {
			fmt.Fprintf(out, "Paused already, since %s, with another reason, which is kept: %s\n", p.since.Format(time.RFC3339), p.reason)
		}
		if err := untilFree(ctx, conn, r.config.Slot); err != nil {
			return err
		}
		fmt.Fprintf(out, "Paused: no relay publishes from slot %s until relay resume. Events are kept in the outbox; the log that the\n"+
			"slot holds back grows meanwhile, and relay status says for how long it can.\n", r.config.Slot)
		return nil
	})
}

// untilFree waits until the relay that holds the slot has let go.
func untilFree(ctx context.Context, conn *pgx.Conn, slot string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainFor+slotFree, errors.New("paused, but the slot is still held, by a relay that hangs or "+
		"is of a version that knows no pause, or by relay recover: end it"))
	defer cancel()
	for {
		s, err := wal.Inspect(ctx, conn, slot)
		if errors.Is(err, wal.ErrNoSlot) || err == nil && !s.Active {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ops.Sleep(ctx, standbyPoll); err != nil {
			return err
		}
	}
}

const deletePause = `
DELETE FROM relay_pauses
WHERE slot = $1`

// resume lets them go on.
func (r *relay) resume(ctx context.Context, out io.Writer) error {
	return r.ask(ctx, func(conn *pgx.Conn) error {
		done, err := conn.Exec(ctx, deletePause, r.config.Slot)
		switch {
		case err != nil && !noTable(err):
			return fmt.Errorf("resume: %w", err)
		case done.RowsAffected() == 0:
			fmt.Fprintf(out, "Slot %s was not paused.\n", r.config.Slot)
		default:
			fmt.Fprintf(out, "Resumed: a relay takes slot %s within a second, if one runs.\n", r.config.Slot)
		}
		return nil
	})
}

// ask opens a connection to the orders database for do.
func (r *relay) ask(ctx context.Context, do func(*pgx.Conn) error) error {
	s := &session{relay: r}
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // each statement is committed
	if err := r.checkSchema(ctx, conn); err != nil {
		return err
	}
	return do(conn)
}
