package view

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// items keeps item_popularity: what was ordered, by the hour in which the orders were placed.
type items map[itemKey]*itemDelta

type itemKey struct {
	hour     time.Time
	item     int32
	currency string
}

type itemDelta struct {
	orders, quantity, revenue int64
}

func newItems(int) model { return items{} }

// add counts an order's lines. Changed ones are taken out of the hour in which the order was placed, and the new ones put there.
func (s items) add(before, after *order, e *Event) error {
	switch data := e.Data.(type) {
	case event.OrderPlaced:
		s.count(after, data.Lines, 1)
	case event.OrderLinesChanged:
		old, err := before.lines()
		if err != nil {
			return err
		}
		s.count(after, old, -1)
		s.count(after, data.Lines, 1)
	}
	return nil
}

// count adds the lines to the popularity of their items, or takes them away when sign is -1. An item that is in two lines
// is in one order.
func (s items) count(o *order, lines []event.Line, sign int64) {
	seen := make(map[int]bool, len(lines))
	for _, l := range lines {
		item := entry(s, itemKey{bucket(o.PlacedAt, time.Hour), int32(l.ItemID), o.Currency}) //nolint:gosec // order.check has looked
		if !seen[l.ItemID] {
			item.orders += sign
			seen[l.ItemID] = true
		}
		item.quantity += sign * int64(l.Quantity)
		item.revenue += sign * int64(l.Quantity) * l.UnitPrice.Minor
	}
}

const addItems = `
INSERT INTO item_popularity_shard AS s (hour, item_id, currency, part, orders, quantity, revenue_minor)
SELECT hour, item_id, currency, $1, orders, quantity, revenue
FROM unnest($2::timestamptz[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
       AS d (hour, item_id, currency, orders, quantity, revenue)
ON CONFLICT (hour, item_id, currency, part) DO UPDATE
SET orders = s.orders + excluded.orders,
    quantity = s.quantity + excluded.quantity,
    revenue_minor = s.revenue_minor + excluded.revenue_minor`

func (s items) write(b *pgx.Batch, c *changes) error {
	if len(s) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(s), func(a, b itemKey) int {
		return cmp.Or(a.hour.Compare(b.hour), cmp.Compare(a.item, b.item), cmp.Compare(a.currency, b.currency))
	})
	deltas := column(keys, func(k itemKey) *itemDelta { return s[k] })
	b.Queue(addItems, c.part,
		column(keys, func(k itemKey) time.Time { return k.hour }),
		column(keys, func(k itemKey) int32 { return k.item }),
		column(keys, func(k itemKey) string { return k.currency }),
		column(deltas, func(d *itemDelta) int64 { return d.orders }),
		column(deltas, func(d *itemDelta) int64 { return d.quantity }),
		column(deltas, func(d *itemDelta) int64 { return d.revenue }),
	)
	return nil
}
