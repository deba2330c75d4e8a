package audit

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// entryRow is an event of the outbox, without what the fold does not need.
type entryRow struct{ event.Event }

func (e entryRow) key() key { return key{e.Order, e.Version} }

const selectEntries = `
SELECT id, aggregateid, type, version, payload, occurred_at
FROM outbox
ORDER BY aggregateid, version`

func scanEntry(row pgx.CollectableRow) (e entryRow, err error) {
	err = row.Scan(&e.ID, &e.Order, &e.Type, &e.Version, (*[]byte)(&e.Payload), &e.At)
	e.At = e.At.UTC()
	return e, err
}

// orderRow is a row of orders, the source's own current state.
type orderRow struct {
	id                  uuid.UUID
	customer            int
	fulfilment, payment string
	version, total      int64
	currency            string
	state               []byte
	placedAt, updatedAt time.Time
}

func (o orderRow) key() key { return key{order: o.id} }

const selectOrders = `
SELECT id, customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at
FROM orders
ORDER BY id`

func scanOrder(row pgx.CollectableRow) (o orderRow, err error) {
	err = row.Scan(&o.id, &o.customer, &o.fulfilment, &o.payment, &o.version, &o.total, &o.currency, &o.state,
		&o.placedAt, &o.updatedAt)
	return o, err
}

func (o orderRow) differs(must order.Order) differences {
	var d differences
	field(&d, "version", o.version, must.Version)
	field(&d, "customer_id", o.customer, must.CustomerID)
	field(&d, "fulfilment", o.fulfilment, string(must.Fulfilment))
	field(&d, "payment", o.payment, string(must.Payment))
	field(&d, "total_minor", o.total, must.Total.Minor)
	field(&d, "currency", o.currency, must.Total.Currency)
	moment(&d, "placed_at", o.placedAt, must.PlacedAt)
	moment(&d, "updated_at", o.updatedAt, must.UpdatedAt)
	if !sameState(o.state, must) {
		d = append(d, "state is not the fold of the order's events")
	}
	return d
}

// sameState compares in the form that the state has when read, so that the order of members and spaces do not matter.
func sameState(state []byte, must order.Order) bool {
	var got order.Order
	if err := json.Unmarshal(state, &got); err != nil {
		return false
	}
	if reflect.DeepEqual(got, must) { // nearly always, and much faster than what follows
		return true
	}
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(must)
	return errA == nil && errB == nil && string(a) == string(b)
}

// summaryRow is a row of order_summary.
type summaryRow struct {
	id                             uuid.UUID
	customer                       int
	service, fulfilment, payment   string
	version                        int64
	total, captured, refunded, tip int64
	currency                       string
	lines                          []byte
	rating                         *int
	placedAt, updatedAt            time.Time
}

func (s summaryRow) key() key { return key{order: s.id} }

const selectSummaries = `
SELECT order_id, customer_id, service, fulfilment, payment, version, total_minor, captured_minor, refunded_minor,
       tip_minor, currency, lines, rating, placed_at, updated_at
FROM order_summary
ORDER BY order_id`

func scanSummary(row pgx.CollectableRow) (s summaryRow, err error) {
	err = row.Scan(&s.id, &s.customer, &s.service, &s.fulfilment, &s.payment, &s.version, &s.total, &s.captured,
		&s.refunded, &s.tip, &s.currency, &s.lines, &s.rating, &s.placedAt, &s.updatedAt)
	return s, err
}

func (s summaryRow) differs(must order.Order) differences {
	var d differences
	field(&d, "version", s.version, must.Version)
	field(&d, "customer_id", s.customer, must.CustomerID)
	field(&d, "service", s.service, string(must.Service))
	field(&d, "fulfilment", s.fulfilment, string(must.Fulfilment))
	field(&d, "payment", s.payment, string(must.Payment))
	field(&d, "total_minor", s.total, must.Total.Minor)
	field(&d, "captured_minor", s.captured, must.Captured.Minor)
	field(&d, "refunded_minor", s.refunded, must.Refunded.Minor)
	field(&d, "tip_minor", s.tip, must.Tip.Minor)
	field(&d, "currency", s.currency, must.Total.Currency)
	moment(&d, "placed_at", s.placedAt, must.PlacedAt)
	moment(&d, "updated_at", s.updatedAt, must.UpdatedAt)
	rating := 0 // as the order has it before it is rated
	if s.rating != nil {
		rating = *s.rating
	}
	field(&d, "rating", rating, must.Rating)
	var lines []event.Line
	if err := json.Unmarshal(s.lines, &lines); err != nil || !slices.Equal(lines, must.Lines) {
		d = append(d, "lines are not the order's")
	}
	return d
}

// timelineRow is a row of order_timeline: an event once more.
type timelineRow struct {
	order, event uuid.UUID
	version      int64
	kind         string
	at           time.Time
}

func (t timelineRow) key() key { return key{t.order, t.version} }

const selectTimeline = `
SELECT order_id, version, event_id, type, at
FROM order_timeline
ORDER BY order_id, version`

func scanTimeline(row pgx.CollectableRow) (t timelineRow, err error) {
	err = row.Scan(&t.order, &t.version, &t.event, &t.kind, &t.at)
	return t, err
}

func (t timelineRow) differs(must event.Event) differences {
	var d differences
	field(&d, "event_id", t.event, must.ID)
	field(&d, "type", t.kind, string(must.Type))
	moment(&d, "at", t.at, must.At)
	return d
}

// boardRow is a row of kitchen_board.
type boardRow struct {
	order           uuid.UUID
	state           string
	items           int64
	promised, since time.Time
}

func (b boardRow) key() key { return key{order: b.order} }

const selectBoard = `
SELECT order_id, state, items, promised_at, since
FROM kitchen_board
ORDER BY order_id`

func scanBoard(row pgx.CollectableRow) (b boardRow, err error) {
	err = row.Scan(&b.order, &b.state, &b.items, &b.promised, &b.since)
	return b, err
}

func (b boardRow) differs(must order.Order, since time.Time) differences {
	var d differences
	field(&d, "state", b.state, string(must.Fulfilment))
	var items int64
	for _, line := range must.Lines {
		items += int64(line.Quantity)
	}
	field(&d, "items", b.items, items)
	moment(&d, "since", b.since, since)
	if must.ReadyAt != nil {
		moment(&d, "promised_at", b.promised, must.ReadyAt.Truncate(time.Microsecond))
	}
	return d
}

// inKitchen reports whether the board has a row for the order.
func inKitchen(o order.Order) bool {
	return o.Fulfilment == order.Accepted || o.Fulfilment == order.Preparing || o.Fulfilment == order.Ready
}
