package status

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// written counts outbox rows without reading all of them each time: those up to floor are counted once.
type written struct {
	floor  int64 // rows up to this sequence number are in events and orders
	events int64
	orders int64
	marks  []mark
}

// mark is the highest sequence number that had been seen at a moment.
type mark struct {
	at  time.Time
	seq int64
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
	floor := w.next(time.Now())
	var events, orders, oldEvents, oldOrders, highest int64
	err := pool.QueryRow(ctx, selectWritten, w.floor, floor).Scan(&events, &orders, &oldEvents, &oldOrders, &highest)
	if err != nil {
		return fmt.Errorf("written events: %w", err)
	}
	n.Written, n.Orders = w.events+events, w.orders+orders
	w.floor, w.events, w.orders = floor, w.events+oldEvents, w.orders+oldOrders
	w.marks = append(w.marks, mark{time.Now(), highest})
	if n.Written < max(n.Applied, n.Published) && w.floor > 0 {
		*w = written{}
		return w.read(ctx, pool, n)
	}
	return nil
}

// next is the floor that can be taken now: the newest mark that is old enough.
func (w *written) next(now time.Time) int64 {
	floor := w.floor
	for len(w.marks) > 0 && now.Sub(w.marks[0].at) >= settled {
		floor = w.marks[0].seq
		w.marks = w.marks[1:]
	}
	return floor
}
