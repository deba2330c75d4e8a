package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

const (
	// holdTimeout is for how long the live projectors, and readers, may wait for the other read model to reach the live one.
	holdTimeout = 2 * time.Second
	// holdTries bounds how often it is tried. A reader with a long transaction holds it up.
	holdTries = 60
	// few is how many offsets the other read model may be behind before the live one is held for it: a moment's work.
	few = 2000
	// pause waits between two tries of what something else holds up.
	pause = 100 * time.Millisecond
)

var (
	errSlow   = errors.New("the other read model took too long to reach the live one")
	errBehind = errors.New("it is behind the live one")
)

// side is the read model beside the live one.
type side interface {
	// approach brings it close to the live one, which goes on meanwhile.
	approach(ctx context.Context) error
	// reach brings it to where the live one stands while live holds it, and returns that.
	reach(ctx context.Context, live pgx.Tx) (vector, error)
}

// holdLive takes the table's lock: a batch that waits for a row's lock holds the table, which would be a deadlock. The time-out is
// shorter than Postgres's deadlock_timeout, so that of two that wait for each other it is this that gives way, and not a reader.
const holdLive = `
SET LOCAL lock_timeout = '500ms';
LOCK TABLE public.projection_offsets IN %s MODE`

// held calls do, and commits, while nothing is applied to the live read model and the other one is at its offsets. It tries until it
// gets through.
// I8: were the live offsets read before the lock is taken, a batch could come between them and do: readers would see its events go
// away in a swap, and a comparison would find a difference that is none.
func held(ctx context.Context, live *pgxpool.Pool, mode string, s side, do func(tx pgx.Tx, at vector) error) error {
	for n := 1; ; n++ {
		if err := s.approach(ctx); err != nil {
			return err
		}
		err := pgx.BeginFunc(ctx, live, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf(holdLive, mode)); err != nil {
				return err
			}
			at, err := reachInTime(ctx, tx, s)
			if err != nil {
				return err
			}
			return do(tx, at)
		})
		if !passing(err) {
			return err
		}
		if n == holdTries {
			return fmt.Errorf("tried %d times: %w; %s", n, err, hint(err))
		}
		if err := ops.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func reachInTime(ctx context.Context, live pgx.Tx, s side) (vector, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, holdTimeout, errSlow)
	defer cancel()
	at, err := s.reach(ctx, live)
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return nil, errSlow // whatever it was cut off in
	}
	return at, err
}

// passing reports whether it was others that kept the live read model from being held.
func passing(err error) bool {
	pg, is := errors.AsType[*pgconn.PgError](err)
	return is && (pg.Code == "55P03" || pg.Code == "40P01") || // lock_not_available, deadlock_detected
		errors.Is(err, errSlow) || errors.Is(err, errBehind)
}

func hint(err error) string {
	if errors.Is(err, errSlow) || errors.Is(err, errBehind) {
		return "run it again when less is going on"
	}
	return "is a reader in a long transaction? End it, and run this again"
}
