package viewtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// world is an empty read model of its own.
type world struct {
	url     string
	owner   *pgxpool.Pool // may do everything
	writer  *pgxpool.Pool // may do what the projector may
	reader  *pgxpool.Pool // may do what readers may
	project Projector
	models  []Model
}

func newWorld(t testing.TB, project Projector, models []Model) *world {
	t.Helper()
	w := &world{url: testenv.ReadModel(t), project: project, models: models}
	for role, pool := range map[string]**pgxpool.Pool{"none": &w.owner, projector: &w.writer, "readmodel_reader": &w.reader} {
		var err error
		if *pool, err = w.connect(t.Context(), role, "public", nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup((*pool).Close)
	}
	return w
}

// migrate makes the tables of the read models that package sql does not make.
func (w *world) migrate(ctx context.Context) error {
	for _, m := range w.models {
		var there bool
		if err := w.owner.QueryRow(ctx, `SELECT EXISTS (SELECT FROM read_models WHERE name = $1)`, m.Name).Scan(&there); err != nil {
			return err
		}
		if there {
			continue
		}
		if _, err := w.owner.Exec(ctx, m.Up); err != nil {
			return fmt.Errorf("migration of %s: %w", m.Name, err)
		}
	}
	return nil
}

const (
	projector = "readmodel_projector" // the role whose rights the projector has
	faulty    = "faulty"              // the name of sessions that a fault may end
)

// connect makes a pool on the tables of a schema. Its sessions do not wait long for locks; f, if not nil, breaks a connection.
func (w *world) connect(ctx context.Context, role, schema string, f *fault) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(w.url)
	if err != nil {
		return nil, err
	}
	p := config.ConnConfig.RuntimeParams
	p["role"], p["search_path"], p["timezone"], p["lock_timeout"] = role, schema, "UTC", "5s"
	if f != nil {
		p["application_name"] = faulty
		config.ConnConfig.DialFunc = f.dial
		config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // a step that is there only now and then
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// until waits, for a minute at most, until a query says true.
func (w *world) until(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for holds := false; !holds; {
		if err := w.owner.QueryRow(ctx, query).Scan(&holds); err != nil {
			return fmt.Errorf("waited in vain: %w: %s", err, query)
		}
	}
	return nil
}

const emptied = `
DO $$
BEGIN
  EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I', tablename), ', ') FROM pg_tables
           WHERE schemaname = 'public' AND tablename NOT IN ('schema_migrations', 'read_models'));
END
$$`

func (w *world) empty(ctx context.Context) error {
	_, err := w.owner.Exec(ctx, emptied)
	return err
}

const counters = `
SELECT coalesce(sum(applied_events), 0)::bigint, coalesce(sum(duplicate_events), 0)::bigint, (SELECT count(*) FROM dead_letters)
FROM projection_offsets`

// holds reports how the read models differ from what they have to be after a history, some of whose events were delivered
// so many times too often.
func (w *world) holds(ctx context.Context, history []Event, repeated int) error {
	var applied, duplicates, letters int
	if err := w.reader.QueryRow(ctx, counters).Scan(&applied, &duplicates, &letters); err != nil {
		return err
	}
	if applied != len(history) || duplicates != repeated || letters != 0 {
		return fmt.Errorf("%d events applied, %d ignored, %d dead letters; want %d, %d and none", applied, duplicates, letters, len(history), repeated)
	}
	for _, m := range w.models {
		got, err := read(ctx, w.reader, m.Query)
		if err != nil {
			return err
		}
		want := append([]string{}, m.Rows(history)...)
		slices.Sort(want)
		if diff := cmp.Diff(got, want); diff != "" {
			return fmt.Errorf("after %d events, rows of %s (-got +want):\n%s", len(history), m.Name, diff)
		}
	}
	return nil
}
