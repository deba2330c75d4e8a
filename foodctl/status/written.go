package status

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// written counts outbox rows without reading all of them each time: those up to a floor are counted once.
type written struct {
	counted int64 // rows up to this sequence number are in events and orders
	events  int64
	orders  int64
	floor   Floor
}

// Each order has exactly one event of version 1 (I2).
const selectWritten = `
SELECT count(*),
       count(*) FILTER (WHERE version = 1),
       count(*) FILTER (WHERE seq <= $2),
       count(*) FILTER (WHERE seq <= $2 AND version = 1),
       coalesce(max(seq), $1)
FROM outbox
WHERE seq > $1`

// read counts into n. Where more is published or applied than it finds, a transaction took longer than settled, and
// everything is counted again.
func (w *written) read(ctx context.Context, pool *pgxpool.Pool, n *Counts) error {
	floor := w.floor.At(time.Now())
	var events, orders, oldEvents, oldOrders, highest int64
	err := pool.QueryRow(ctx, selectWritten, w.counted, floor).Scan(&events, &orders, &oldEvents, &oldOrders, &highest)
	if err != nil {
		return fmt.Errorf("written events: %w", err)
	}
	n.Written, n.Orders = w.events+events, w.orders+orders
	w.counted, w.events, w.orders = floor, w.events+oldEvents, w.orders+oldOrders
	w.floor.Note(time.Now(), highest)
	if n.Written < max(n.Applied, n.Published) && w.counted > 0 {
		*w = written{}
		return w.read(ctx, pool, n)
	}
	return nil
}
