package view

import (
	"cmp"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// The example of docs/read-models.md, which shows this file. A read model of the program has the first part in a file of its own.

// couriers keeps courier_stats: what each courier has carried, by currency.
type couriers map[courierKey]*courierDelta

type courierKey struct{ courier, currency string }

type courierDelta struct {
	orders, total int64
	lastAt        time.Time
}

func newCouriers(int) model { return couriers{} }

func (s couriers) add(_, after *order, e *Event) error {
	d, is := e.Data.(event.OrderDispatched)
	if !is {
		return nil
	}
	c := entry(s, courierKey{d.Courier, after.Currency})
	c.orders++
	c.total += after.Total
	if after.UpdatedAt.After(c.lastAt) {
		c.lastAt = after.UpdatedAt
	}
	return nil
}

const addCouriers = `
INSERT INTO courier_stats_shard AS s (courier, currency, part, orders, total_minor, last_at)
SELECT courier, currency, $1, orders, total, last_at
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[]) AS d (courier, currency, orders, total, last_at)
ON CONFLICT (courier, currency, part) DO UPDATE
SET orders = s.orders + excluded.orders,
    total_minor = s.total_minor + excluded.total_minor,
    last_at = greatest(s.last_at, excluded.last_at)`

func (s couriers) write(b *pgx.Batch, c *changes) error {
	if len(s) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(s), func(a, b courierKey) int {
		return cmp.Or(cmp.Compare(a.courier, b.courier), cmp.Compare(a.currency, b.currency))
	})
	deltas := column(keys, func(k courierKey) *courierDelta { return s[k] })
	b.Queue(addCouriers, c.part,
		column(keys, func(k courierKey) string { return k.courier }),
		column(keys, func(k courierKey) string { return k.currency }),
		column(deltas, func(d *courierDelta) int64 { return d.orders }),
		column(deltas, func(d *courierDelta) int64 { return d.total }),
		column(deltas, func(d *courierDelta) time.Time { return d.lastAt }),
	)
	return nil
}

func TestCourierStats_I8_I9_I10(t *testing.T) {
	t.Parallel()
	viewtest.Check(t, projecting(withCouriers()), viewtest.Model{
		Name:  "courier_stats",
		Up:    file(t, "testdata/courier_stats.up.sql"),
		Down:  file(t, "testdata/courier_stats.down.sql"),
		Query: `SELECT courier, currency, orders, total_minor, last_at FROM courier_stats`,
		Rows:  courierStats,
		Examples: map[string]viewtest.Example{
			"an order that was changed before it was dispatched": {
				Events: []event.Data{
					event.OrderPlaced{CustomerID: 1, Service: event.Delivery, Total: event.Money{Minor: 900, Currency: "EUR"}},
					event.OrderLinesChanged{Total: event.Money{Minor: 700, Currency: "EUR"}},
					event.OrderDispatched{Courier: "Ada"},
				},
				Rows: []string{viewtest.Line("Ada", "EUR", 1, 700, viewtest.First.Add(2*time.Second))},
			},
			"an order that no courier carried": {
				Events: []event.Data{
					event.OrderPlaced{CustomerID: 1, Service: event.Pickup, Total: event.Money{Minor: 900, Currency: "EUR"}},
					event.OrderCollected{},
				},
			},
		},
	})
}

// courierStats is the definition of courier_stats: it goes over the whole history for each of the rows' orders.
func courierStats(history []viewtest.Event) (rows []string) {
	sums := make(map[courierKey]*courierDelta)
	for _, dispatched := range history {
		d, is := dispatched.Data.(event.OrderDispatched)
		if !is {
			continue
		}
		total := totalOf(history, dispatched.Order, dispatched.Version)
		sum := entry(sums, courierKey{d.Courier, total.Currency})
		sum.orders, sum.total, sum.lastAt = sum.orders+1, sum.total+total.Minor, dispatched.At
	}
	for key, sum := range sums {
		rows = append(rows, viewtest.Line(key.courier, key.currency, sum.orders, sum.total, sum.lastAt))
	}
	return rows
}

// totalOf is what an order came to before one of its versions.
func totalOf(history []viewtest.Event, order uuid.UUID, version int64) (total event.Money) {
	for _, e := range history {
		if e.Order != order || e.Version >= version {
			continue
		}
		switch d := e.Data.(type) {
		case event.OrderPlaced:
			total = d.Total
		case event.OrderLinesChanged:
			total = d.Total
		}
	}
	return total
}
