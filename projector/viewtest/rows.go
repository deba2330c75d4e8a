package viewtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tables are the rows of the read model as text, so that two of them can be compared and read.
type Tables map[string][]string

// queries read the rows of each read model of the program, without what depends on partitions and offsets.
var queries = map[string]string{
	"order_summary": `SELECT order_id, customer_id, service, fulfilment, payment, version, total_minor, captured_minor, refunded_minor,
	                  tip_minor, currency, lines::text, coalesce(rating, -1), placed_at, updated_at FROM order_summary`,
	"order_timeline":  `SELECT order_id, version, event_id, type, at, data::text FROM order_timeline`,
	"customer_stats":  `SELECT customer_id, currency, orders, completed, cancelled, spent_minor, refunded_minor, tips_minor, last_order_at FROM customer_stats`,
	"item_popularity": `SELECT hour, item_id, currency, orders, quantity, revenue_minor FROM item_popularity`,
	"revenue_minute":  `SELECT minute, currency, orders, gross_minor, refunded_minor, tips_minor, cancelled FROM revenue_minute`,
	"kitchen_board":   `SELECT order_id, state, items, promised_at, since FROM kitchen_board`,
}

// Stored reads the tables of the read model.
func Stored(t testing.TB, pool *pgxpool.Pool) Tables {
	t.Helper()
	got := make(Tables)
	for table, query := range queries {
		lines, err := read(t.Context(), pool, query)
		if err != nil {
			t.Fatal(err)
		}
		got[table] = lines
	}
	return got
}

// read returns the rows of a query as sorted text.
func read(ctx context.Context, pool *pgxpool.Pool, query string) ([]string, error) {
	rows, _ := pool.Query(ctx, query) // CollectRows returns its error
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return Line(values...), err
	})
	slices.Sort(lines)
	return append([]string{}, lines...), err
}

// Equal fails the test unless the read model is what these events make, each of them applied once.
func Equal(t testing.TB, pool *pgxpool.Pool, events []Event) {
	t.Helper()
	var applied, duplicates int
	err := pool.QueryRow(t.Context(), `SELECT coalesce(sum(applied_events), 0), coalesce(sum(duplicate_events), 0) FROM projection_offsets`).
		Scan(&applied, &duplicates)
	if err != nil {
		t.Fatal(err)
	}
	if applied != len(events) || duplicates != 0 {
		t.Errorf("%d events applied and %d duplicates, want %d and 0", applied, duplicates, len(events))
	}
	if diff := cmp.Diff(Stored(t, pool), Folded(events)); diff != "" {
		t.Errorf("tables (-got +want):\n%s", diff)
	}
}

// Line is a row as text. Numbers are the same whatever their type, and times whatever their location.
func Line(values ...any) string {
	var b strings.Builder
	for _, v := range values {
		switch v := v.(type) {
		case time.Time:
			fmt.Fprint(&b, v.UTC().Format(time.RFC3339Nano), " ")
		case [16]byte:
			fmt.Fprint(&b, uuid.UUID(v), " ")
		default:
			fmt.Fprint(&b, v, " ")
		}
	}
	return b.String()
}
