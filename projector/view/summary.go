package view

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const current = `
SELECT s.order_id, s.customer_id, s.service, s.fulfilment, s.payment, s.version, s.total_minor, s.captured_minor,
       s.refunded_minor, s.tip_minor, s.currency, s.lines::text, s.rating, s.placed_at, s.updated_at,
       k.order_id IS NOT NULL, coalesce(k.promised_at, s.placed_at), coalesce(k.since, s.placed_at), k.items
FROM order_summary s
LEFT JOIN kitchen_board k USING (order_id)
WHERE s.order_id = ANY($1::uuid[])`

// scanOrder reads a row of current.
func scanOrder(row pgx.CollectableRow) (*order, error) {
	var (
		o  = order{stored: true}
		id = (*[16]byte)(&o.ID)
	)
	err := row.Scan(id, &o.Customer, &o.Service, &o.Fulfilment, &o.Payment, &o.Version, &o.Total, &o.Captured, &o.Refunded,
		&o.Tip, &o.Currency, &o.Lines, &o.Rating, &o.PlacedAt, &o.UpdatedAt, &o.OnBoard, &o.PromisedAt, &o.Since, &o.Items)
	return &o, err
}

const upsertSummaries = `
INSERT INTO order_summary AS s (order_id, customer_id, service, fulfilment, payment, version, total_minor, captured_minor,
       refunded_minor, tip_minor, currency, lines, rating, placed_at, updated_at)
SELECT *
FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
       $9::bigint[], $10::bigint[], $11::text[], $12::json[], $13::integer[], $14::timestamptz[], $15::timestamptz[])
ON CONFLICT (order_id) DO UPDATE
SET fulfilment = excluded.fulfilment,
    payment = excluded.payment,
    version = excluded.version,
    total_minor = excluded.total_minor,
    captured_minor = excluded.captured_minor,
    refunded_minor = excluded.refunded_minor,
    tip_minor = excluded.tip_minor,
    lines = excluded.lines,
    rating = excluded.rating,
    updated_at = excluded.updated_at`

// summaries keeps order_summary: the state of each order.
type summaries struct{}

func (summaries) add(*order, *order, *Event) error { return nil } // the state itself is what it writes

func (summaries) write(b *pgx.Batch, c *changes) error {
	orders := c.orders
	if c.copied {
		orders = slices.DeleteFunc(slices.Clone(orders), func(o *order) bool { return !o.stored })
	}
	b.Queue(upsertSummaries,
		column(orders, func(o *order) uuid.UUID { return o.ID }),
		column(orders, func(o *order) int32 { return o.Customer }),
		column(orders, func(o *order) string { return o.Service }),
		column(orders, func(o *order) string { return o.Fulfilment }),
		column(orders, func(o *order) string { return o.Payment }),
		column(orders, func(o *order) int64 { return o.Version }),
		column(orders, func(o *order) int64 { return o.Total }),
		column(orders, func(o *order) int64 { return o.Captured }),
		column(orders, func(o *order) int64 { return o.Refunded }),
		column(orders, func(o *order) int64 { return o.Tip }),
		column(orders, func(o *order) string { return o.Currency }),
		column(orders, func(o *order) string { return o.Lines }),
		column(orders, func(o *order) *int32 { return o.Rating }),
		column(orders, func(o *order) time.Time { return o.PlacedAt }),
		column(orders, func(o *order) time.Time { return o.UpdatedAt }),
	)
	return nil
}

// copy writes the orders that are new.
func (summaries) copy(c *changes) (table string, columns []string, rows pgx.CopyFromSource) {
	orders := slices.DeleteFunc(slices.Clone(c.orders), func(o *order) bool { return o.stored })
	columns = []string{
		"order_id", "customer_id", "service", "fulfilment", "payment", "version", "total_minor", "captured_minor", "refunded_minor",
		"tip_minor", "currency", "lines", "rating", "placed_at", "updated_at",
	}
	return "order_summary", columns, pgx.CopyFromSlice(len(orders), func(i int) ([]any, error) {
		o := orders[i]
		return []any{
			pgUUID(o.ID), o.Customer, o.Service, o.Fulfilment, o.Payment, o.Version, o.Total, o.Captured, o.Refunded,
			o.Tip, o.Currency, o.Lines, o.Rating, o.PlacedAt, o.UpdatedAt,
		}, nil
	})
}
