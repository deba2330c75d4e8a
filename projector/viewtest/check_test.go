package viewtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// counted is a read model of its own projector: how many events of each type there were.
var counted = Model{
	Name: "counted",
	Up: `
		CREATE TABLE counted_orders (order_id uuid PRIMARY KEY, version bigint NOT NULL);
		CREATE TABLE counted_shard (type text, part integer, n bigint NOT NULL, PRIMARY KEY (type, part));
		CREATE VIEW counted AS SELECT type, sum(n)::bigint AS n FROM counted_shard GROUP BY type;
		GRANT SELECT, INSERT, UPDATE ON counted_orders, counted_shard TO readmodel_projector;
		GRANT SELECT ON counted TO readmodel_reader;
		INSERT INTO read_models SELECT unnest(ARRAY['counted', 'counted_orders'])
		WHERE NOT EXISTS (SELECT FROM projection_offsets)`,
	Down:  `DROP VIEW counted; DROP TABLE counted_shard, counted_orders; DELETE FROM read_models WHERE name LIKE 'counted%'`,
	Query: `SELECT type, n FROM counted`,
	Rows: func(history []Event) (rows []string) {
		n := make(map[event.Type]int)
		for _, e := range history {
			n[e.Type]++
		}
		for kind, n := range n {
			rows = append(rows, Line(kind, n))
		}
		return rows
	},
	Examples: map[string]Example{"two of a type": {
		Events: []event.Data{event.OrderPlaced{}, event.OrderLinesChanged{}, event.OrderLinesChanged{}},
		Rows:   []string{Line(event.TypeOrderPlaced, 1), Line(event.TypeOrderLinesChanged, 2)},
	}},
}

// faults are what a projector can do wrong, and the trial that has to find it.
var faults = map[string]func(*world, context.Context, uint64) error{
	"a batch counts once":                     (*world).examples,
	"counts what is delivered again":          (*world).anyWay,
	"forgets the rows that were there":        (*world).anyWay,
	"one row for all partitions":              (*world).apart,
	"the offset in a transaction of its own":  (*world).killed,
	"applies again what may be committed":     (*world).killed,
	"remembers what was rolled back":          (*world).killed,
	"writes to the live tables, whatever for": (*world).rebuilt,
}

func TestASoundProjectorPasses(t *testing.T) {
	t.Parallel()
	Check(t, counter{}.project, counted)
}

func TestEachFaultIsFound(t *testing.T) {
	t.Parallel()
	for fault, try := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, counter{fault: fault}.project, []Model{counted})
			err := try(w, t.Context(), 1)
			if err == nil || errors.Is(err, errUntested) {
				t.Fatalf("not found: %v", err)
			}
			t.Log(err)
		})
	}
}

func TestEachFaultOfAMigrationIsFound(t *testing.T) {
	t.Parallel()
	for more, find := range map[string]struct {
		try  func(*world, context.Context, uint64) error
		want string
	}{
		"REVOKE UPDATE ON counted_shard FROM readmodel_projector":           {(*world).anyWay, "permission denied"},
		"REVOKE SELECT ON counted FROM readmodel_reader":                    {(*world).anyWay, "permission denied"},
		"CREATE TABLE counted_else ()":                                      {(*world).rebuilt, "counted_else"},
		"INSERT INTO read_models VALUES ('counted') ON CONFLICT DO NOTHING": {(*world).added, "rows, which lack"},
	} {
		model := counted
		model.Up += ";" + more
		err := find.try(newWorld(t, counter{}.project, []Model{model}), t.Context(), 1)
		if err == nil || !strings.Contains(err.Error(), find.want) {
			t.Errorf("%s: got %v, want %q", more, err, find.want)
		}
	}
}

// counter is a projector of counted, with one fault or none.
type counter struct{ fault string }

const claimCounted = `
INSERT INTO projection_offsets AS o (topic, part, topic_id, claim, owner)
VALUES ('counted', $1, gen_random_uuid(), gen_random_uuid(), 'one')
ON CONFLICT (topic, part) DO UPDATE
SET owner_epoch = o.owner_epoch + 1
RETURNING next_offset`

func (c counter) project(ctx context.Context, pool *pgxpool.Pool, partitions int) ([]Apply, error) {
	var held bool
	if err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM read_models WHERE name = 'counted')`).Scan(&held); err != nil {
		return nil, err
	}
	parts := make([]Apply, partitions)
	for part := range parts {
		p := &countedPart{counter: c, pool: pool, part: part, held: held, sums: make(map[event.Type]int)}
		if err := pool.QueryRow(ctx, claimCounted, part).Scan(&p.next); err != nil {
			return nil, err
		}
		parts[part] = p.apply
	}
	return parts, nil
}

type countedPart struct {
	counter

	pool    *pgxpool.Pool
	part    int
	held    bool // the read model is in read_models
	next    int64
	unknown bool               // what became of the last batch
	sums    map[event.Type]int // of the batch
}

func (p *countedPart) apply(ctx context.Context, events []Event) error {
	to := events[len(events)-1].Offset + 1
	if p.unknown && p.fault != "applies again what may be committed" {
		var next int64
		if err := p.pool.QueryRow(ctx, `SELECT next_offset FROM projection_offsets WHERE part = $1 FOR UPDATE`, p.part).Scan(&next); err != nil {
			return err
		}
		if p.next, p.unknown = next, false; next == to {
			return nil
		}
	}
	p.unknown = true
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return p.write(ctx, tx, to, events) })
	if err == nil {
		p.next, p.unknown = to, false
	}
	return err
}

func (p *countedPart) write(ctx context.Context, tx pgx.Tx, to int64, events []Event) error {
	if !p.held {
		return p.fence(ctx, tx, to, len(events), 0)
	}
	rows, _ := tx.Query(ctx, `SELECT order_id, version FROM counted_orders`) //nolint:rowserrcheck // ForEachRow checks it
	versions := make(map[uuid.UUID]int64)
	var (
		order   uuid.UUID
		version int64
	)
	if _, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&order), &version}, func() error { versions[order] = version; return nil }); err != nil {
		return err
	}
	if p.fault != "remembers what was rolled back" {
		clear(p.sums)
	}
	changed, repeated := make(map[uuid.UUID]int64), 0
	for _, e := range events {
		if e.Version > max(versions[e.Order], changed[e.Order]) {
			changed[e.Order] = e.Version
		} else if repeated++; p.fault != "counts what is delivered again" {
			continue
		}
		p.sums[e.Type]++
	}
	if err := p.fence(ctx, tx, to, len(events)-repeated, repeated); err != nil {
		return err
	}
	ids, last := unzip(changed, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	_, err := tx.Exec(ctx, `
		INSERT INTO counted_orders SELECT * FROM unnest($1::uuid[], $2::bigint[])
		ON CONFLICT (order_id) DO UPDATE SET version = excluded.version`, ids, last)
	if err != nil {
		return err
	}
	return p.writeSums(ctx, tx)
}

func (p *countedPart) fence(ctx context.Context, tx pgx.Tx, to int64, applied, repeated int) error {
	exec := tx.Exec
	if p.fault == "the offset in a transaction of its own" {
		exec = p.pool.Exec
	}
	tag, err := exec(ctx, `
		UPDATE projection_offsets SET next_offset = $3, applied_events = applied_events + $4, duplicate_events = duplicate_events + $5
		WHERE part = $1 AND next_offset = $2`, p.part, p.next, to, applied, repeated)
	if err == nil && tag.RowsAffected() == 0 {
		return errors.New("fenced")
	}
	return err
}

func (p *countedPart) writeSums(ctx context.Context, tx pgx.Tx) error {
	table, n, sum, part := "counted_shard", "n", "s.n + excluded.n", p.part
	switch p.fault {
	case "a batch counts once":
		n = "1"
	case "forgets the rows that were there":
		sum = "excluded.n"
	case "one row for all partitions":
		part = 0
	case "writes to the live tables, whatever for":
		table = "public.counted_shard"
	}
	kinds, sums := unzip(p.sums, cmp.Compare[event.Type])
	_, err := tx.Exec(ctx, fmt.Sprintf(`
		INSERT INTO %s AS s SELECT type, $1, %s FROM unnest($2::text[], $3::bigint[]) AS d (type, n)
		ON CONFLICT (type, part) DO UPDATE SET n = %s`, table, n, sum), part, kinds, sums)
	return err
}

// unzip returns the keys of a map, sorted, and their values.
func unzip[K comparable, V any](m map[K]V, compare func(a, b K) int) (keys []K, values []V) {
	keys = slices.SortedFunc(maps.Keys(m), compare)
	for _, k := range keys {
		values = append(values, m[k])
	}
	return keys, values
}
