package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

const (
	monitorEvery = time.Second
	// lookWithin bounds a look at the slot, and blindAfter is how long none may succeed before the relay is not ready.
	lookWithin = 5 * time.Second
	blindAfter = 10 * time.Second
	// letGo is how long a server that is shutting down is kept waiting for what Kafka does not take.
	letGo = 5 * time.Second
	// waitsLong is after how long it is said that a change of a publication is waited for.
	waitsLong = 5 * time.Second
)

var errServerStopping = errors.New("the database is shutting down and waits for the relay, which cannot publish: slot released")

// monitor watches the slot from a connection of its own, and the server through it, until ctx ends. It interrupts the session
// when an operator has paused it.
//
// A fast shutdown of Postgres waits until its last transactions are acknowledged. As long as Kafka takes them that is a
// moment; while it does not, the server would wait for ever, because a relay with a full window does not even read that it
// is being asked. But the shutdown refuses new sessions, and that is seen here: then the slot is let go, and the
// transactions stay in the log for the next start.
func (s *session) monitor(ctx context.Context) {
	var conn *pgx.Conn
	var stopping time.Time
	seen := time.Now()
	ticker := time.NewTicker(monitorEvery)
	defer ticker.Stop()
	for {
		err := s.lookWith(ctx, &conn)
		switch {
		case err == nil:
			seen = time.Now()
		case time.Since(seen) > blindAfter:
			s.health.Set(healthWAL, fmt.Errorf("the slot cannot be seen: %w", err))
		}
		switch {
		case !shuttingDown(err):
			stopping = time.Time{}
		case stopping.IsZero():
			stopping = time.Now()
		case time.Since(stopping) > letGo:
			s.fail(errServerStopping)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if conn != nil {
				_ = conn.Close(context.WithoutCancel(ctx))
			}
			return
		}
	}
}

// lookWith looks over the connection, which it makes if there is none, and gives up if it fails.
func (s *session) lookWith(ctx context.Context, conn **pgx.Conn) (err error) {
	within, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if *conn == nil {
		if *conn, err = s.connect(within); err != nil {
			*conn = nil
			return err
		}
	}
	if err := s.look(within, *conn); err != nil {
		_ = (*conn).Close(within)
		*conn = nil
		return err
	}
	return nil
}

// look reports the slot to the metrics and to readiness (I11).
func (s *session) look(ctx context.Context, conn *pgx.Conn) error {
	slot, err := wal.Inspect(ctx, conn, s.config.Slot)
	switch {
	case errors.Is(err, wal.ErrNoSlot): // before the first load, or during one: no log is held back
		s.metrics.seen.slot.Store(nil)
		s.health.Set(healthWAL, nil)
	case err != nil:
		return err
	default:
		now := time.Now()
		s.metrics.seen.slot.Store(&slotSeen{slot, now, s.metrics.seen.pace.to(slot.Flushed, now)})
		s.health.Set(healthWAL, s.held(slot))
	}
	if s.layout.Own { // others' tables have no number to count by
		s.metrics.seen.count(ctx, conn)
	}
	if s.settled.Load() {
		switch err := s.samePublication(ctx, conn); {
		case errors.Is(err, errPublicationChanged), errors.Is(err, wal.ErrPublication):
			s.fail(err)
		case err != nil:
			return err
		}
	}
	if interrupt := s.interrupt.Load(); interrupt != nil {
		p, err := findPause(ctx, conn, s.config.Slot)
		if err != nil {
			return err
		}
		if p != nil {
			(*interrupt)(p)
		}
	}
	return nil
}

// errPublicationChanged ends a session: rows may have been published to nobody. The next one refuses to go on.
var errPublicationChanged = errors.New("the publication was changed")

// samePublication returns errPublicationChanged, or wal.ErrPublication, unless the publication is the one that the session began with.
func (s *session) samePublication(ctx context.Context, conn *pgx.Conn) error {
	now, _, err := wal.Fingerprint(ctx, conn, s.layout)
	if err == nil && now != s.print {
		return errPublicationChanged
	}
	return err
}

// passHole returns nil if what the server leaves out was left out before the session began, and was decided on then. A commit's log
// may come before the commit is seen, so it waits for whoever is changing a publication first. The other way round it would take a
// change that is seen between the two looks for none.
func (s *session) passHole(ctx context.Context) error {
	warn := time.After(waitsLong)
	for {
		changing, err := wal.Changing(ctx, s.database)
		if err != nil {
			return err
		}
		if !changing {
			return s.samePublication(ctx, s.database)
		}
		select {
		case <-warn:
			s.log.WarnContext(ctx, "publishing waits for a transaction that holds a publication's lock",
				"remedy", "commit or end it (it has a lock in pg_locks with classid 'pg_publication'::regclass); a commit may be waiting for a synchronous standby")
		default:
		}
		if ops.Sleep(ctx, 20*time.Millisecond) != nil {
			return context.Cause(ctx)
		}
	}
}

// held says whether the log that the slot holds back is within bounds.
func (s *session) held(slot wal.Slot) error {
	switch {
	case slot.Status == "lost":
		return fmt.Errorf("slot %s is lost: the log grew above max_slot_wal_keep_size; run relay recover", s.config.Slot)
	case slot.Status == "unreserved":
		return fmt.Errorf("slot %s is about to be lost: %d bytes of log are held back; is Kafka away?", s.config.Slot, slot.Retained)
	case slot.Retained > s.config.MaxRetainedWAL:
		return fmt.Errorf("slot %s holds back %d bytes of log, above --max-retained-wal %d; is Kafka away, or a transaction open for long?",
			s.config.Slot, slot.Retained, s.config.MaxRetainedWAL)
	}
	return nil
}

// shuttingDown says whether the server refused or ended a session because it is about to stop. A server that starts up
// refuses with the same code, but has no replication stream then.
func shuttingDown(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "57P03" || pg.Code == "57P01") // cannot_connect_now, admin_shutdown
}
