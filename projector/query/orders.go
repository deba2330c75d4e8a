package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// order is an order in an answer.
type order struct {
	ID         uuid.UUID       `json:"id"`
	Customer   int32           `json:"customer_id"`
	Service    string          `json:"service"`
	Fulfilment string          `json:"fulfilment"`
	Payment    string          `json:"payment"`
	Version    int64           `json:"version"`
	Lines      json.RawMessage `json:"lines"`
	Total      event.Money     `json:"total"`
	Captured   event.Money     `json:"captured"`
	Refunded   event.Money     `json:"refunded"`
	Tip        event.Money     `json:"tip"`
	Rating     *int32          `json:"rating,omitempty"` // stars
	PlacedAt   time.Time       `json:"placed_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
	Blocked    *blocked        `json:"blocked,omitempty"`
}

// blocked is an order of which an event could not be applied: what is shown of it is from before.
type blocked struct {
	Version *int64    `json:"version"` // of that event; nil if it cannot be read
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Events  int64     `json:"events"` // that wait, itself included
}

// selectBlocked is to be joined laterally to s, which has an order_id.
const selectBlocked = `
LEFT JOIN LATERAL (
  SELECT (array_agg(version ORDER BY record_offset))[1] AS version,
         (array_agg(reason ORDER BY record_offset))[1] AS reason,
         min(parked_at) AS since,
         count(*) AS events
  FROM dead_letters
  WHERE order_id = s.order_id AND state = 'waiting'
) AS b ON b.events > 0`

const orderColumns = `
SELECT s.order_id, s.customer_id, s.service, s.fulfilment, s.payment, s.version, s.lines::text, s.currency, s.total_minor,
       s.captured_minor, s.refunded_minor, s.tip_minor, s.rating, s.placed_at, s.updated_at, b.version, b.reason, b.since, b.events
FROM order_summary AS s` + selectBlocked

func scanOrder(row pgx.CollectableRow) (order, error) {
	var (
		o        order
		b        blockedRow
		lines    string
		currency string
	)
	err := row.Scan(&o.ID, &o.Customer, &o.Service, &o.Fulfilment, &o.Payment, &o.Version, &lines, &currency,
		&o.Total.Minor, &o.Captured.Minor, &o.Refunded.Minor, &o.Tip.Minor, &o.Rating, &o.PlacedAt, &o.UpdatedAt,
		&b.version, &b.reason, &b.since, &b.events)
	o.Lines, o.Blocked = json.RawMessage(lines), b.blocked()
	o.in(currency)
	return o, err
}

// in gives the amounts their currency.
func (o *order) in(currency string) {
	for _, m := range []*event.Money{&o.Total, &o.Captured, &o.Refunded, &o.Tip} {
		m.Currency = currency
	}
}

// blockedRow is the columns of selectBlocked, which are NULL for an order that is not blocked.
type blockedRow struct {
	version, events *int64
	reason          *string
	since           *time.Time
}

func (b blockedRow) blocked() *blocked {
	if b.events == nil {
		return nil
	}
	return &blocked{Version: b.version, Reason: *b.reason, Since: *b.since, Events: *b.events}
}

const selectOrder = orderColumns + `
WHERE s.order_id = $1`

// The letters of an order that has no row in order_summary.
const selectLetters = `
SELECT b.version, b.reason, b.since, b.events
FROM (SELECT $1::uuid AS order_id) AS s` + selectBlocked

// row is the row of an order, or why there is none.
type row struct {
	id      uuid.UUID
	order   *order // nil for none
	letters blockedRow
}

func (o *row) queue(b *pgx.Batch) {
	b.Queue(selectOrder, o.id).Query(one(&o.order, scanOrder))
	b.Queue(selectLetters, o.id).QueryRow(func(r pgx.Row) error {
		return r.Scan(&o.letters.version, &o.letters.reason, &o.letters.since, &o.letters.events)
	})
}

// absent is the problem of an order that has no row.
func (o *row) absent(s reflection) *problem {
	if b := o.letters.blocked(); b != nil {
		return &problem{kind: orderBlocked, detail: fmt.Sprintf("the first event of order %s could not be applied: %s", o.id, b.Reason), asOf: &s.AsOf}
	}
	return &problem{kind: notFound, detail: "there is no order of this id, as far as has been read", asOf: &s.AsOf}
}

// orderAnswer is the body of an answer about one order.
type orderAnswer struct {
	order
	reflection
}

// order serves GET /v1/orders/{id}.
func (a *API) order(ctx context.Context, r *request) (answer, error) {
	id, err := orderOf(r.Request)
	if err != nil {
		return answer{}, err
	}
	if r.has("at") || r.has("at_version") {
		return a.past(ctx, r, id)
	}
	o := row{id: id}
	s, err := a.read(ctx, r, o.queue)
	if err != nil {
		return answer{}, err
	}
	if o.order == nil {
		return answer{}, o.absent(s)
	}
	s.Excluded = nil // nothing is summed
	return answer{body: orderAnswer{*o.order, s}, version: token{id, o.order.Version}.String()}, nil
}

// one reads at most one row; target is nil afterwards if there is none.
func one[T any](target **T, scan pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		*target = nil
		value, err := pgx.CollectExactlyOneRow(rows, scan)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		*target = &value
		return err
	}
}

// many reads all rows.
func many[T any](target *[]T, scan pgx.RowToFunc[T]) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*target, err = pgx.AppendRows(make([]T, 0), rows, scan) // not nil: an empty list is [] in JSON
		return err
	}
}

const selectOrdersOf = orderColumns + `
WHERE s.customer_id = $1
  AND s.placed_at <= $2
  AND (s.placed_at < $2 OR s.order_id > $3)
  AND ($4 = '' OR s.fulfilment = $4)
ORDER BY s.placed_at DESC, s.order_id
LIMIT $5`

// fulfilments are the states that orders can be asked for by.
var fulfilments = []string{
	"placed", "confirmed", "accepted", "preparing", "ready", "in_delivery", "completed", "rejected", "cancelled", "delivery_failed",
	"expired",
}

// ordersOf serves GET /v1/customers/{id}/orders.
func (a *API) ordersOf(ctx context.Context, r *request) (answer, error) {
	customer, err := customerOf(r.Request)
	if err != nil {
		return answer{}, err
	}
	limit, from, err := r.page(newest)
	if err != nil {
		return answer{}, err
	}
	fulfilment, err := r.choice("fulfilment", fulfilments)
	if err != nil {
		return answer{}, err
	}
	body := struct {
		Orders []order `json:"orders"`
		reflection
	}{}
	body.reflection, err = a.read(ctx, r, func(b *pgx.Batch) {
		b.Queue(selectOrdersOf, customer, from.at, from.order, fulfilment, limit+1).Query(many(&body.Orders, scanOrder))
	})
	if err != nil {
		return answer{}, err
	}
	next := ""
	if more := int64(len(body.Orders)) > limit; more {
		body.Orders = body.Orders[:limit]
		last := body.Orders[limit-1]
		next = r.nextPage("cursor", cursor{last.PlacedAt, last.ID}.String())
	}
	return answer{body: body, next: next}, nil
}
