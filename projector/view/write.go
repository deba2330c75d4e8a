package view

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Every statement here writes a whole batch's rows of one table, sorted by primary key: two transactions that write the
// same rows then take their locks in the same order.

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
		o  order
		id = (*[16]byte)(&o.ID)
	)
	err := row.Scan(id, &o.Customer, &o.Service, &o.Fulfilment, &o.Payment, &o.Version, &o.Total, &o.Captured, &o.Refunded,
		&o.Tip, &o.Currency, &o.Lines, &o.Rating, &o.PlacedAt, &o.UpdatedAt, &o.OnBoard, &o.PromisedAt, &o.Since, &o.Items)
	return &o, err
}

// write makes the statements that write the fold, of a partition, to the tables.
func (f *fold) write(p *Partition) (*pgx.Batch, error) {
	b := &pgx.Batch{}
	if f.applied.Duplicates > 0 {
		b.Queue(recount, p.view.topic, p.part, f.applied.Duplicates)
	}
	if f.applied.Events == 0 {
		return b, nil
	}
	orders := f.changed()
	writeSummaries(b, orders)
	if err := writeBoard(b, orders); err != nil {
		return nil, err
	}
	f.writeTimeline(b)
	f.writeCustomers(b, p.part)
	f.writeItems(b, p.part)
	f.writeMinutes(b, p.part)
	return b, nil
}

// recount corrects what the fence, which does not know the versions yet, has counted as applied.
const recount = `
UPDATE projection_offsets
SET applied_events = applied_events - $3,
    duplicate_events = duplicate_events + $3
WHERE topic = $1
  AND part = $2`

// changed returns the orders that an event was applied to, sorted.
func (f *fold) changed() []*order {
	touched := make(map[uuid.UUID]*order, len(f.orders))
	for _, t := range f.timeline {
		touched[t.order] = f.orders[t.order]
	}
	return slices.SortedFunc(maps.Values(touched), func(a, b *order) int { return bytes.Compare(a.ID[:], b.ID[:]) })
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

func writeSummaries(b *pgx.Batch, orders []*order) {
	b.Queue(upsertSummaries,
		column(orders, func(o *order) pgtype.UUID { return pgUUID(o.ID) }),
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
}

const upsertBoard = `
INSERT INTO kitchen_board (order_id, state, items, promised_at, since)
SELECT *
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (order_id) DO UPDATE
SET state = excluded.state,
    items = excluded.items,
    promised_at = excluded.promised_at,
    since = excluded.since`

const clearBoard = `
DELETE FROM kitchen_board
WHERE order_id = ANY($1::uuid[])`

func writeBoard(b *pgx.Batch, orders []*order) error {
	var (
		cooking []*order
		items   []int64
		gone    []uuid.UUID
	)
	for _, o := range orders {
		if o.inKitchen() {
			n, err := o.items()
			if err != nil {
				return err
			}
			cooking, items = append(cooking, o), append(items, n)
		} else if o.OnBoard {
			gone = append(gone, o.ID)
		}
	}
	if len(cooking) > 0 {
		b.Queue(upsertBoard,
			column(cooking, func(o *order) pgtype.UUID { return pgUUID(o.ID) }),
			column(cooking, func(o *order) string { return o.Fulfilment }),
			items,
			column(cooking, func(o *order) time.Time { return o.PromisedAt }),
			column(cooking, func(o *order) time.Time { return o.Since }),
		)
	}
	if len(gone) > 0 {
		b.Queue(clearBoard, column(gone, pgUUID))
	}
	return nil
}

// No ON CONFLICT: an event that is there already would be one applied twice, and has to fail.
const insertTimeline = `
INSERT INTO order_timeline (order_id, version, event_id, type, at)
SELECT *
FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::timestamptz[])`

func (f *fold) writeTimeline(b *pgx.Batch) {
	rows := f.timeline
	slices.SortStableFunc(rows, func(a, b timelineRow) int { return bytes.Compare(a.order[:], b.order[:]) })
	b.Queue(insertTimeline,
		column(rows, func(r timelineRow) pgtype.UUID { return pgUUID(r.order) }),
		column(rows, func(r timelineRow) int64 { return r.version }),
		column(rows, func(r timelineRow) pgtype.UUID { return pgUUID(r.event) }),
		column(rows, func(r timelineRow) string { return string(r.kind) }),
		column(rows, func(r timelineRow) time.Time { return r.at }),
	)
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

func (f *fold) writeCustomers(b *pgx.Batch, part int32) {
	if len(f.customers) == 0 {
		return
	}
	keys := slices.SortedFunc(maps.Keys(f.customers), func(a, b customerKey) int {
		return cmp.Or(cmp.Compare(a.customer, b.customer), cmp.Compare(a.currency, b.currency))
	})
	deltas := column(keys, func(k customerKey) *customerDelta { return f.customers[k] })
	b.Queue(addCustomers, part,
		column(keys, func(k customerKey) int32 { return k.customer }),
		column(keys, func(k customerKey) string { return k.currency }),
		column(deltas, func(d *customerDelta) int64 { return d.orders }),
		column(deltas, func(d *customerDelta) int64 { return d.completed }),
		column(deltas, func(d *customerDelta) int64 { return d.cancelled }),
		column(deltas, func(d *customerDelta) int64 { return d.spent }),
		column(deltas, func(d *customerDelta) int64 { return d.refunded }),
		column(deltas, func(d *customerDelta) int64 { return d.tips }),
		column(deltas, func(d *customerDelta) time.Time { return d.lastOrderAt }),
	)
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

func (f *fold) writeItems(b *pgx.Batch, part int32) {
	if len(f.items) == 0 {
		return
	}
	keys := slices.SortedFunc(maps.Keys(f.items), func(a, b itemKey) int {
		return cmp.Or(a.hour.Compare(b.hour), cmp.Compare(a.item, b.item), cmp.Compare(a.currency, b.currency))
	})
	deltas := column(keys, func(k itemKey) *itemDelta { return f.items[k] })
	b.Queue(addItems, part,
		column(keys, func(k itemKey) time.Time { return k.hour }),
		column(keys, func(k itemKey) int32 { return k.item }),
		column(keys, func(k itemKey) string { return k.currency }),
		column(deltas, func(d *itemDelta) int64 { return d.orders }),
		column(deltas, func(d *itemDelta) int64 { return d.quantity }),
		column(deltas, func(d *itemDelta) int64 { return d.revenue }),
	)
}

const addMinutes = `
INSERT INTO revenue_minute_shard AS s (minute, currency, part, orders, gross_minor, refunded_minor, tips_minor, cancelled)
SELECT minute, currency, $1, orders, gross, refunded, tips, cancelled
FROM unnest($2::timestamptz[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
       AS d (minute, currency, orders, gross, refunded, tips, cancelled)
ON CONFLICT (minute, currency, part) DO UPDATE
SET orders = s.orders + excluded.orders,
    gross_minor = s.gross_minor + excluded.gross_minor,
    refunded_minor = s.refunded_minor + excluded.refunded_minor,
    tips_minor = s.tips_minor + excluded.tips_minor,
    cancelled = s.cancelled + excluded.cancelled`

func (f *fold) writeMinutes(b *pgx.Batch, part int32) {
	if len(f.minutes) == 0 {
		return
	}
	keys := slices.SortedFunc(maps.Keys(f.minutes), func(a, b minuteKey) int {
		return cmp.Or(a.minute.Compare(b.minute), cmp.Compare(a.currency, b.currency))
	})
	deltas := column(keys, func(k minuteKey) *minuteDelta { return f.minutes[k] })
	b.Queue(addMinutes, part,
		column(keys, func(k minuteKey) time.Time { return k.minute }),
		column(keys, func(k minuteKey) string { return k.currency }),
		column(deltas, func(d *minuteDelta) int64 { return d.orders }),
		column(deltas, func(d *minuteDelta) int64 { return d.gross }),
		column(deltas, func(d *minuteDelta) int64 { return d.refunded }),
		column(deltas, func(d *minuteDelta) int64 { return d.tips }),
		column(deltas, func(d *minuteDelta) int64 { return d.cancelled }),
	)
}

// column is one column of rows, as unnest takes it. A FlatArray and a pgtype.UUID are encoded as they are; a plain slice or
// a uuid.UUID would be tried as a driver.Valuer first, for every value, which took a third of the program's time.
func column[R, C any](rows []R, of func(R) C) pgtype.FlatArray[C] {
	c := make(pgtype.FlatArray[C], len(rows))
	for i, r := range rows {
		c[i] = of(r)
	}
	return c
}

func pgUUID(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: true} }
