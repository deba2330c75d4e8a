package query

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// What is read over and over while anybody listens, and what each answer reads, must not grow with the tables.
func TestChangesAndPositionsAreReadByIndex(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.exec(`
INSERT INTO order_summary (order_id, customer_id, service, fulfilment, payment, version, total_minor, captured_minor, refunded_minor,
       tip_minor, currency, lines, placed_at, updated_at)
SELECT md5(i::text)::uuid, 1 + i % 100, 'delivery', 'completed', 'captured', 4, 100, 100, 0, 0, 'EUR', '[]', now(), now()
FROM generate_series(1, 10000) AS i`)
	s.exec(`
INSERT INTO order_timeline (order_id, version, event_id, type, at, part, record_offset, position, data)
SELECT md5(i::text)::uuid, v, gen_random_uuid(), 'order.placed.v1', now(), i % 3, i * 10 + v, row_number() OVER (PARTITION BY i % 3 ORDER BY i, v), '{}'
FROM generate_series(1, 10000) AS i, generate_series(1, 4) AS v`)
	s.exec(`UPDATE projection_offsets AS o SET applied_events = (SELECT max(position) FROM order_timeline AS t WHERE t.part = o.part)`)
	s.exec(`ANALYZE`)
	parts, applied := []int32{0, 1, 2}, []int64{13_300, 13_300, 13_300}
	for name, statement := range map[string][]any{
		"all":       {selectChangesOfAll, testTopic, parts, applied, int64(stretch)},
		"customer":  {selectChangesOfCustomer, testTopic, parts, applied, int64(stretch), int32(7)},
		"order":     {selectChangesOfOrder, testTopic, parts, applied, uuid.New()},
		"offsets":   {selectOffsets, testTopic},
		"standings": {selectStandings, orders([]token{{uuid.New(), 1}})},
		"orders":    {selectOrdersOf, int32(7), newest.at, newest.order, "", int64(21)},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), "SET LOCAL plan_cache_mode = "+mode); err != nil {
					return err
				}
				rows, err := tx.Query(t.Context(), "EXPLAIN "+statement[0].(string), statement[1:]...)
				if err != nil {
					return err
				}
				plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
				if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan on order_") {
					t.Errorf("%s, %s: it reads a whole table:\n%s", name, mode, text)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
