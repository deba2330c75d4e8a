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
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// swapTimeout is for how long to try to swap the tables. A reader with a long transaction holds it up.
const swapTimeout = 2 * time.Minute

// The table's lock first: a batch that waits for a row's lock holds the table, which would be a deadlock. Shorter than Postgres's
// deadlock_timeout, so that of two that wait for each other it is this that gives way, and not a reader.
const lockLive = `
SET LOCAL lock_timeout = '500ms';
LOCK TABLE public.projection_offsets IN ACCESS EXCLUSIVE MODE`

const lockNew = `
SELECT part, next_offset
FROM rebuild.projection_offsets
WHERE topic = $1
ORDER BY part
FOR UPDATE`

// cutOver makes the new read model live, in one transaction: nothing is applied to the live one from the moment in which its offsets
// are read until the other has its place. The new one is brought to exactly these first.
// I8: were the offsets read before the lock was taken, a batch could come between them and the swap, and readers would see its events
// go away.
func (r *Rebuild) cutOver(ctx context.Context) error {
	var at vector
	// Before each try, without a lock: while the two were compared, the live one has gone on.
	err := swapping(ctx, r.live, r.catchUp, func(tx pgx.Tx) (err error) {
		if at, err = r.target(ctx, tx); err != nil {
			return err
		}
		held, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errSlow) // the live projectors wait for it
		defer cancel()
		if err := r.advance(held, at); err != nil {
			return err
		}
		if err := r.settle(held); err != nil {
			return err
		}
		now, err := offsets(ctx, tx, lockNew, r.Topic)
		if err != nil {
			return err
		}
		for part, offset := range at {
			if now[part] < offset && !r.Overtake { // else what is there between the two is Kafka's marker
				return fmt.Errorf("the new read model is at offset %d of partition %d, the live one at %d", now[part], part, offset)
			}
		}
		_, err = tx.Exec(ctx, "SELECT read_model_swap('rebuild')")
		return err
	})
	if err != nil {
		return fmt.Errorf("cut over: %w", err)
	}
	r.say("cut over at %s. What was live goes on beside it: projector rebuild roll-back brings it back, projector rebuild drop-former ends it.", at)
	return nil
}

var (
	errSlow   = errors.New("the rest took too long to hold up the live read model for it")
	errBehind = errors.New("the new read model is behind")
)

// swapping calls prepare, and do with the live offsets locked, and commits, until it gets through.
func swapping(ctx context.Context, live *pgxpool.Pool, prepare func(context.Context) error, do func(pgx.Tx) error) error {
	for began := time.Now(); ; {
		if err := prepare(ctx); err != nil {
			return err
		}
		err := pgx.BeginFunc(ctx, live, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, lockLive); err != nil {
				return err
			}
			return do(tx)
		})
		pg, is := errors.AsType[*pgconn.PgError](err)
		again := is && (pg.Code == "55P03" || pg.Code == "40P01") || errors.Is(err, errSlow) || errors.Is(err, errBehind) // lock_not_available, deadlock_detected
		if !again {
			return err
		}
		if time.Since(began) > swapTimeout {
			return fmt.Errorf("not within %v: %w; is a reader in a long transaction? Run it again", swapTimeout, err)
		}
		if err := ops.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

const formerOffsets = `
SELECT part, next_offset
FROM former.projection_offsets
WHERE topic = $1
ORDER BY part`

// RollBack makes the tables live that were so before the last cut-over. The projectors have kept them up to date; it waits until they
// are where the live ones are, which stand still meanwhile.
func RollBack(ctx context.Context, live *pgxpool.Pool, topic string) (at fmt.Stringer, err error) {
	var there bool
	if err := live.QueryRow(ctx, exists, view.Former).Scan(&there); err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("%s: %w", view.Former, ErrNone)
	}
	var now vector
	prepared := func(context.Context) error { return nil }
	err = swapping(ctx, live, prepared, func(tx pgx.Tx) error {
		target, err := offsets(ctx, tx, selectOffsets, topic)
		if err != nil {
			return err
		}
		if now, err = reached(ctx, live, target, topic); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "SELECT read_model_swap('former')")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("roll back: %w", err)
	}
	return now, nil
}

// reached waits, not for long, until the former tables have reached the target.
func reached(ctx context.Context, live *pgxpool.Pool, target vector, topic string) (now vector, err error) {
	for range 10 {
		if now, err = offsets(ctx, live, formerOffsets, topic); err != nil {
			return nil, err
		}
		behind := false
		for part, offset := range target {
			behind = behind || now[part] < offset
		}
		if !behind {
			return now, nil
		}
		if err := ops.Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: the former tables are at %s, the live ones at %s; does a projector run?", errBehind, now, target)
}
