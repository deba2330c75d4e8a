package rebuild

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

const exists = `
SELECT to_regnamespace($1) IS NOT NULL`

// begin makes the tables, unless a rebuild that was begun before has left some.
func (r *Rebuild) begin(ctx context.Context) error {
	var begun bool
	if err := r.live.QueryRow(ctx, exists, view.Rebuild).Scan(&begun); err != nil {
		return fmt.Errorf("look for a rebuild: %w", err)
	}
	if begun {
		return r.resume(ctx)
	}
	r.say("making the tables of a new read model")
	err := pgx.BeginFunc(ctx, r.live, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT read_model_begin()"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO rebuild.read_models SELECT unnest($1::text[])", view.Models()); err != nil {
			return err
		}
		return r.load(ctx, tx)
	})
	if pg, is := errors.AsType[*pgconn.PgError](err); is && pg.Code == "42P06" { // duplicate_schema
		return errors.New("another rebuild was begun at the same time; run it again")
	}
	if err != nil {
		return fmt.Errorf("begin a rebuild: %w", err)
	}
	return nil
}

// resume refuses tables that another version of the program has made.
func (r *Rebuild) resume(ctx context.Context) error {
	rows, _ := r.live.Query(ctx, "SELECT name FROM rebuild.read_models ORDER BY name")
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look at the rebuild that was begun: %w", err)
	}
	if !slices.Equal(names, view.Models()) {
		return fmt.Errorf("the rebuild that was begun is of the read models %v, this program keeps %v: projector rebuild discard, and begin anew", names, view.Models())
	}
	r.say("going on with the rebuild that was begun")
	return nil
}

// Discard drops the tables of a rebuild that was begun.
func Discard(ctx context.Context, live *pgxpool.Pool) error { return drop(ctx, live, view.Rebuild) }

// DropFormer drops the tables that were live before the last cut-over: there is no rolling back any more, and nothing is applied to
// them.
func DropFormer(ctx context.Context, live *pgxpool.Pool) error { return drop(ctx, live, view.Former) }

func drop(ctx context.Context, live *pgxpool.Pool, schema string) error {
	if err := there(ctx, live, schema); err != nil {
		return err
	}
	if _, err := live.Exec(ctx, "SELECT read_model_drop($1)", schema); err != nil {
		return fmt.Errorf("drop the read model in %s: %w", schema, err)
	}
	return nil
}

// ErrNone is returned when there is nothing to drop or to roll back to.
var ErrNone = errors.New("there is no such read model")

func there(ctx context.Context, live *pgxpool.Pool, schema string) error {
	var is bool
	if err := live.QueryRow(ctx, exists, schema).Scan(&is); err != nil {
		return fmt.Errorf("look for the read model in %s: %w", schema, err)
	}
	if !is {
		return fmt.Errorf("%s: %w", schema, ErrNone)
	}
	return nil
}
