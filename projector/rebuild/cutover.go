package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// swap makes the read model in a schema live, which s brings there, and returns at which offsets.
func swap(ctx context.Context, live *pgxpool.Pool, schema, topic string, s side) (now vector, err error) {
	var at time.Time // of the row in cut_overs
	err = held(ctx, live, "ACCESS EXCLUSIVE", s, func(tx pgx.Tx, reached vector) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf("LOCK TABLE %s.projection_offsets IN ACCESS EXCLUSIVE MODE", schema)); err != nil {
			return err
		}
		if now, err = offsets(ctx, tx, schema, topic); err != nil {
			return err
		}
		if now.behind(reached) > 0 {
			return fmt.Errorf("%w: it is at %s, want %s", errBehind, now, reached)
		}
		return tx.QueryRow(ctx, "SELECT read_model_swap($1)", schema).Scan(&at)
	})
	if err != nil && !at.IsZero() {
		err = unanswered(ctx, live, at, err)
	}
	return now, err
}

// unanswered finds out what became of a swap whose COMMIT had no answer: err, or nil if it was committed. The first statement waits
// until the server process that may still be at it has let go of the table.
func unanswered(ctx context.Context, live *pgxpool.Pool, at time.Time, err error) error {
	if _, answered := errors.AsType[*pgconn.PgError](err); answered {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // ctx may be why there was no answer
	defer cancel()
	var committed bool
	_, failed := live.Exec(ctx, "SELECT FROM public.projection_offsets")
	if failed == nil {
		failed = live.QueryRow(ctx, "SELECT EXISTS (SELECT FROM public.cut_overs WHERE at = $1)", at).Scan(&committed)
	}
	switch {
	case failed != nil:
		return fmt.Errorf("whether it was done is not known, the table cut_overs says it: %w", errors.Join(err, failed))
	case committed:
		return nil
	}
	return err
}

// cutOver makes the new read model live, in one transaction: nothing is applied to the live one from the moment in which its offsets
// are read until the other, which is at exactly these, has its place.
func (r *Rebuild) cutOver(ctx context.Context) error {
	at, err := swap(ctx, r.live, view.Rebuild, r.Topic, r)
	if err != nil {
		return fmt.Errorf("cut over: %w", err)
	}
	r.say("cut over at %s. What was live goes on beside it: projector rebuild roll-back brings it back, projector rebuild drop-former ends it.", at)
	return nil
}
