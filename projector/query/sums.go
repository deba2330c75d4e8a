package query

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// stats are what a customer's orders in one currency came to.
type stats struct {
	Orders      int64       `json:"orders"`    // placed
	Completed   int64       `json:"completed"` // delivered or collected
	Cancelled   int64       `json:"cancelled"`
	Spent       event.Money `json:"spent"`    // captured
	Refunded    event.Money `json:"refunded"` // of it
	Tips        event.Money `json:"tips"`
	LastOrderAt time.Time   `json:"last_order_at"`
}

const selectStats = `
SELECT currency, orders, completed, cancelled, spent_minor, refunded_minor, tips_minor, last_order_at
FROM customer_stats
WHERE customer_id = $1
ORDER BY currency`

func scanStats(row pgx.CollectableRow) (s stats, err error) {
	err = row.Scan(&s.Spent.Currency, &s.Orders, &s.Completed, &s.Cancelled, &s.Spent.Minor, &s.Refunded.Minor, &s.Tips.Minor, &s.LastOrderAt)
	s.Refunded.Currency, s.Tips.Currency = s.Spent.Currency, s.Spent.Currency
	return s, err
}

// statsOf serves GET /v1/customers/{id}/stats.
func (a *API) statsOf(ctx context.Context, r *request) (answer, error) {
	customer, err := customerOf(r.Request)
	if err != nil {
		return answer{}, err
	}
	body := struct {
		Customer int32   `json:"customer_id"`
		Stats    []stats `json:"stats"` // one for each currency
		reflection
	}{Customer: customer}
	body.reflection, err = a.read(ctx, r, func(b *pgx.Batch) {
		b.Queue(selectStats, customer).Query(many(&body.Stats, scanStats))
	})
	return answer{body: body}, err
}

// cooking is an order on the kitchen's board.
type cooking struct {
	Order      uuid.UUID `json:"order_id"`
	State      string    `json:"state"`
	Items      int64     `json:"items"`
	PromisedAt time.Time `json:"promised_at"`
	Since      time.Time `json:"since"` // in this state
	Blocked    *blocked  `json:"blocked,omitempty"`
}

const selectBoard = `
SELECT s.order_id, s.state, s.items, s.promised_at, s.since, b.version, b.reason, b.since, b.events
FROM (
  SELECT order_id, state, items, promised_at, since
  FROM kitchen_board
  WHERE promised_at >= $1
    AND (promised_at > $1 OR order_id > $2)
  ORDER BY promised_at, order_id
  LIMIT $3
) AS s` + selectBlocked + `
ORDER BY s.promised_at, s.order_id`

func scanCooking(row pgx.CollectableRow) (c cooking, err error) {
	var b blockedRow
	err = row.Scan(&c.Order, &c.State, &c.Items, &c.PromisedAt, &c.Since, &b.version, &b.reason, &b.since, &b.events)
	c.Blocked = b.blocked()
	return c, err
}

// kitchen serves GET /v1/kitchen.
func (a *API) kitchen(ctx context.Context, r *request) (answer, error) {
	limit, from, err := r.page(oldest)
	if err != nil {
		return answer{}, err
	}
	body := struct {
		Orders []cooking `json:"orders"`
		reflection
	}{}
	body.reflection, err = a.read(ctx, r, func(b *pgx.Batch) {
		b.Queue(selectBoard, from.at, from.order, limit+1).Query(many(&body.Orders, scanCooking))
	})
	if err != nil {
		return answer{}, err
	}
	next := ""
	if int64(len(body.Orders)) > limit {
		body.Orders = body.Orders[:limit]
		last := body.Orders[limit-1]
		next = r.nextPage("cursor", cursor{last.PromisedAt, last.Order}.String())
	}
	return answer{body: body, next: next}, nil
}

// item is how popular a dish is.
type item struct {
	ID       int32       `json:"item_id"`
	Orders   int64       `json:"orders"` // that hold it
	Quantity int64       `json:"quantity"`
	Revenue  event.Money `json:"revenue"` // quantity times price
}

const selectPopular = `
SELECT item_id, currency, sum(orders)::bigint, sum(quantity)::bigint, sum(revenue_minor)::bigint
FROM item_popularity
WHERE hour >= $1
  AND hour < $2
GROUP BY item_id, currency
HAVING sum(quantity) > 0
ORDER BY sum(quantity) DESC, item_id, currency
LIMIT $3`

func scanItem(row pgx.CollectableRow) (i item, err error) {
	err = row.Scan(&i.ID, &i.Revenue.Currency, &i.Orders, &i.Quantity, &i.Revenue.Minor)
	return i, err
}

// popular serves GET /v1/items/popular: of the hours that begin from from on and before to.
func (a *API) popular(ctx context.Context, r *request) (answer, error) {
	from, to, err := r.interval(24*time.Hour, 31*24*time.Hour)
	if err != nil {
		return answer{}, err
	}
	limit, err := r.number("limit", 1, 100, 10)
	if err != nil {
		return answer{}, err
	}
	body := struct {
		From  time.Time `json:"from"`
		To    time.Time `json:"to"`
		Items []item    `json:"items"`
		reflection
	}{From: from, To: to}
	body.reflection, err = a.read(ctx, r, func(b *pgx.Batch) {
		b.Queue(selectPopular, from, to, limit).Query(many(&body.Items, scanItem))
	})
	return answer{body: body}, err
}

// minute is what happened in a minute, in one currency.
type minute struct {
	Minute    time.Time   `json:"minute"`
	Orders    int64       `json:"orders"` // placed
	Cancelled int64       `json:"cancelled"`
	Gross     event.Money `json:"gross"`    // captured
	Refunded  event.Money `json:"refunded"` // issued, whenever it was captured
	Tips      event.Money `json:"tips"`
}

const selectRevenue = `
SELECT minute, currency, orders, cancelled, gross_minor, refunded_minor, tips_minor
FROM revenue_minute
WHERE minute >= $1
  AND minute < $2
ORDER BY minute, currency`

func scanMinute(row pgx.CollectableRow) (m minute, err error) {
	err = row.Scan(&m.Minute, &m.Gross.Currency, &m.Orders, &m.Cancelled, &m.Gross.Minor, &m.Refunded.Minor, &m.Tips.Minor)
	m.Refunded.Currency, m.Tips.Currency = m.Gross.Currency, m.Gross.Currency
	return m, err
}

// revenue serves GET /v1/revenue: the minutes that begin from from on and before to, those in which something happened.
func (a *API) revenue(ctx context.Context, r *request) (answer, error) {
	from, to, err := r.interval(time.Hour, 24*time.Hour)
	if err != nil {
		return answer{}, err
	}
	body := struct {
		From    time.Time `json:"from"`
		To      time.Time `json:"to"`
		Minutes []minute  `json:"minutes"`
		reflection
	}{From: from, To: to}
	body.reflection, err = a.read(ctx, r, func(b *pgx.Batch) {
		b.Queue(selectRevenue, from, to).Query(many(&body.Minutes, scanMinute))
	})
	return answer{body: body}, err
}
