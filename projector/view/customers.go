package view

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// customers keeps customer_stats: what each customer has ordered and paid, by currency.
type customers map[customerKey]*customerDelta

type customerKey struct {
	customer int32
	currency string
}

type customerDelta struct {
	tally

	lastOrderAt time.Time
}

func newCustomers(int) model { return customers{} }

func (s customers) add(_, o *order, e *Event) error {
	t, counts := tallyOf(e)
	if !counts {
		return nil
	}
	c := entry(s, customerKey{o.Customer, o.Currency})
	c.tally.add(t)
	if o.PlacedAt.After(c.lastOrderAt) {
		c.lastOrderAt = o.PlacedAt
	}
	return nil
}

const addCustomers = `
INSERT INTO customer_stats_shard AS s (customer_id, currency, part, orders, completed, cancelled, spent_minor,
       refunded_minor, tips_minor, last_order_at)
SELECT customer_id, currency, $1, orders, completed, cancelled, spent, refunded, tips, last_order_at
FROM unnest($2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
       $10::timestamptz[]) AS d (customer_id, currency, orders, completed, cancelled, spent, refunded, tips, last_order_at)
ON CONFLICT (customer_id, currency, part) DO UPDATE
SET orders = s.orders + excluded.orders,
    completed = s.completed + excluded.completed,
    cancelled = s.cancelled + excluded.cancelled,
    spent_minor = s.spent_minor + excluded.spent_minor,
    refunded_minor = s.refunded_minor + excluded.refunded_minor,
    tips_minor = s.tips_minor + excluded.tips_minor,
    last_order_at = greatest(s.last_order_at, excluded.last_order_at)`

func (s customers) write(b *pgx.Batch, c *changes) error {
	if len(s) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(s), func(a, b customerKey) int {
		return cmp.Or(cmp.Compare(a.customer, b.customer), cmp.Compare(a.currency, b.currency))
	})
	deltas := column(keys, func(k customerKey) *customerDelta { return s[k] })
	b.Queue(addCustomers, c.part,
		column(keys, func(k customerKey) int32 { return k.customer }),
		column(keys, func(k customerKey) string { return k.currency }),
		column(deltas, func(d *customerDelta) int64 { return d.orders }),
		column(deltas, func(d *customerDelta) int64 { return d.completed }),
		column(deltas, func(d *customerDelta) int64 { return d.cancelled }),
		column(deltas, func(d *customerDelta) int64 { return d.captured }),
		column(deltas, func(d *customerDelta) int64 { return d.refunded }),
		column(deltas, func(d *customerDelta) int64 { return d.tips }),
		column(deltas, func(d *customerDelta) time.Time { return d.lastOrderAt }),
	)
	return nil
}
