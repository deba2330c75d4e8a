package console

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// shown is how many orders the page has.
const shown = 12

// newestOrders are the orders to which something has happened last.
type newestOrders struct {
	rows    []newestRow
	placed  time.Time // when the newest order was
	written time.Time // when the newest event was
}

type newestRow struct {
	Order    uuid.UUID
	Type     string
	Version  int64
	At       time.Time
	Customer int32
}

const selectNewest = `
SELECT o.aggregateid, o.type, o.version, o.occurred_at, s.customer_id
FROM (SELECT * FROM outbox ORDER BY seq DESC LIMIT 60) AS o
JOIN orders AS s ON s.id = o.aggregateid
ORDER BY o.seq DESC`

// readNewest reads the newest rows of the outbox.
func (c *Console) readNewest(ctx context.Context) (n newestOrders, err error) {
	rows, _ := c.orders.Query(ctx, selectNewest)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[newestRow])
	if err != nil {
		return n, fmt.Errorf("orders database: the newest events: %w", err)
	}
	seen := make(map[uuid.UUID]bool)
	for _, r := range list {
		if n.written.IsZero() {
			n.written = r.At
		}
		if r.Version == 1 && n.placed.IsZero() {
			n.placed = r.At
		}
		if !seen[r.Order] && len(n.rows) < shown {
			n.rows = append(n.rows, r)
		}
		seen[r.Order] = true
	}
	return n, nil
}

const selectVersions = `
SELECT order_id, version
FROM order_summary
WHERE order_id = ANY ($1)`

// ordersOf adds to the orders what is known of their newest events' ways; what the read model has of them, if it answers.
func (c *Console) ordersOf(ctx context.Context, n newestOrders, answers bool) ([]Order, error) {
	orders := make([]Order, len(n.rows))
	ids := make([]uuid.UUID, len(n.rows))
	for i, r := range n.rows {
		o := Order{ID: r.Order, Customer: r.Customer, Type: r.Type, Version: r.Version, Written: r.At, Offset: -1}
		p, isPublished, applied := c.arrivals.stages(version{r.Order, r.Version})
		if isPublished {
			o.Written, o.Published, o.Partition, o.Offset = p.committed, moment(p.at), p.partition, p.offset
		}
		o.Applied = moment(applied)
		orders[i], ids[i] = o, r.Order
	}
	if !answers {
		return orders, nil
	}
	has := make(map[uuid.UUID]int64)
	var v version
	rows, _ := c.readModel.Query(ctx, selectVersions, ids) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&v.order, &v.n}, func() error {
		has[v.order] = v.n
		return nil
	})
	if err != nil {
		return orders, fmt.Errorf("read model's database: versions of the newest orders: %w", err)
	}
	for i := range orders {
		orders[i].Done = has[orders[i].ID] >= orders[i].Version
	}
	return orders, nil
}

// Orders of which an event is not in the topic while nobody publishes: all rows from the oldest such on.
const selectWaiting = `
SELECT count(DISTINCT aggregateid) FILTER (WHERE aggregatetype = 'order')
FROM outbox
WHERE seq >= $1`

// countable is up to how many rows orders are counted: beyond it the page says events.
const countable = 200_000

// waiting counts the orders that wait for a relay; -1 if it does not know.
func (c *Console) waiting(ctx context.Context, unpublished, oldest int64) (n int64) {
	if unpublished == 0 {
		return 0
	}
	if unpublished > countable || c.orders.QueryRow(ctx, selectWaiting, oldest).Scan(&n) != nil {
		return -1
	}
	return n
}
