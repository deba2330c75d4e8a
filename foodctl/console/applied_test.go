package console

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const manyEvents = `
INSERT INTO order_timeline (order_id, version, event_id, type, at, part, record_offset, position, data)
SELECT gen_random_uuid(), 1, gen_random_uuid(), 'order.placed.v1', now(), n % 3, n, n, '{}'
FROM generate_series(1, 30000) AS n`

// It is asked four times a second: a plan that reads the whole table costs more, the longer the system runs.
func TestWhatIsAppliedIsFoundByItsIndex(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testenv.ReadModel(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the database is dropped anyway
	for _, statement := range []string{
		manyEvents, "ANALYZE order_timeline", "SET plan_cache_mode = force_generic_plan", "PREPARE applied (integer[], bigint[]) AS " + selectApplied,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	rows, _ := conn.Query(t.Context(), "EXPLAIN EXECUTE applied ('{0,1,2}', '{29990,29990,29990}')")
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan on order_timeline") || !strings.Contains(text, "order_timeline_position") {
		t.Errorf("the plan does not use the index:\n%s", text)
	}
}
