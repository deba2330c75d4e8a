package viewtest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Tables that projector rebuild would not compare.
const strays = `
SELECT coalesce(string_agg(name, ', '), '')
FROM read_model_relations('public')
WHERE kind = 'r'
  AND name NOT IN ('projection_offsets', 'dead_letters', 'read_models')
  AND regexp_replace(name, '_shard$', '') NOT IN (SELECT m.name FROM read_models AS m)`

// rebuilt makes the read models once more beside the live ones, as projector rebuild does, and has them take their place. The
// live ones go on meanwhile.
func (w *world) rebuilt(ctx context.Context, seed uint64) error {
	if err := w.migrate(ctx); err != nil {
		return err
	}
	var named string
	if err := w.owner.QueryRow(ctx, strays).Scan(&named); err != nil {
		return err
	}
	if named != "" {
		return fmt.Errorf("the tables %s have the name of no read model in read_models", named)
	}
	const large = 5200 // is written with COPY, where a read model has that
	history := History(seed, 300, large+800)
	if err := w.inBatches(ctx, w.writer, history[:large], 700); err != nil {
		return err
	}
	beside, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer beside.Close()
	if err := w.inBatches(ctx, beside, history[:large], large); err != nil {
		return err
	}
	if err := w.inBatches(ctx, w.writer, history[large:], 300); err != nil {
		return err
	}
	if err := w.holds(ctx, history, 0); err != nil {
		return fmt.Errorf("live: %w", err)
	}
	if err := w.inBatches(ctx, beside, history[large:], 90); err != nil {
		return err
	}
	return w.cutOver(ctx, history)
}

// added has the migrations come to a read model in which events were applied before.
func (w *world) added(ctx context.Context, seed uint64) error {
	if err := w.migrate(ctx); err != nil {
		return err
	}
	later := slices.DeleteFunc(slices.Clone(w.models), func(m Model) bool { return m.Up == "" })
	for _, m := range later {
		if _, err := w.owner.Exec(ctx, m.Down); err != nil {
			return fmt.Errorf("migration of %s, down: %w", m.Name, err)
		}
	}
	history := History(seed, 30, 900)
	if err := w.inBatches(ctx, w.writer, history[:500], 100); err != nil {
		return err
	}
	for _, m := range later {
		if _, err := w.owner.Exec(ctx, m.Up); err != nil {
			return fmt.Errorf("migration of %s: %w", m.Name, err)
		}
	}
	if err := w.inBatches(ctx, w.writer, history[500:], 100); err != nil {
		return err
	}
	for _, m := range later {
		rows, err := read(ctx, w.reader, m.Query)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			return fmt.Errorf("%s has %d rows, which lack what was applied before the migration", m.Name, len(rows))
		}
	}
	beside, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer beside.Close()
	if err := w.inBatches(ctx, beside, history, 300); err != nil {
		return err
	}
	return w.cutOver(ctx, history)
}

// begin makes tables for all read models beside the live ones, and connects to them.
func (w *world) begin(ctx context.Context) (*pgxpool.Pool, error) {
	names := slices.Collect(maps.Keys(queries))
	for _, m := range w.models {
		names = append(names, m.Name)
	}
	if _, err := w.writer.Exec(ctx, `SELECT read_model_begin()`); err != nil {
		return nil, err
	}
	if _, err := w.writer.Exec(ctx, `INSERT INTO rebuild.read_models SELECT DISTINCT unnest($1::text[])`, names); err != nil {
		return nil, err
	}
	return w.connect(ctx, projector, "rebuild", nil)
}

// cutOver has the new tables take the place of the live ones.
func (w *world) cutOver(ctx context.Context, history []Event) error {
	if _, err := w.writer.Exec(ctx, `SELECT read_model_swap('rebuild')`); err != nil {
		return err
	}
	if err := w.holds(ctx, history, 0); err != nil {
		return fmt.Errorf("made anew: %w", err)
	}
	return nil
}

// inBatches applies events of one partition in batches of at most size.
func (w *world) inBatches(ctx context.Context, pool *pgxpool.Pool, events []Event, size int) error {
	parts, err := w.project(ctx, pool, 1)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(events, size) {
		if err := parts[0](ctx, batch); err != nil {
			return err
		}
	}
	return nil
}
