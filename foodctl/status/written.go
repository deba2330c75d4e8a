package status

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// written counts outbox rows without reading all of them each time: those up to a floor are counted once, some at a time.
type written struct {
	counted int64 // rows up to this sequence number are in events and orders
	events  int64
	orders  int64
	floor   Floor
	anew    time.Time // when counting began from nothing
}

// Each order has exactly one event of version 1 (I2); so have customers who were erased.
const selectWritten = `
SELECT count(*), count(*) FILTER (WHERE version = 1 AND aggregatetype = 'order')
FROM outbox
WHERE seq > $1
  AND seq <= $2`

// recount is how often counting may begin from nothing because something does not fit.
const recount = time.Minute

// read counts into n. Where more is published or applied than it finds, a transaction took longer than settled, and everything is counted
// again, now and then: it may be that records are published which no row has.
func (w *written) read(ctx context.Context, pool *pgxpool.Pool, n *Counts) error {
	var highest int64
	if err := pool.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM outbox`).Scan(&highest); err != nil {
		return fmt.Errorf("written events: %w", err)
	}
	now := time.Now()
	floor := w.floor.At(now, highest)
	for w.counted < floor { // what is counted stays counted, also if the time is over before the rest is
		next := min(floor, w.counted+far)
		events, orders, err := countRows(ctx, pool, w.counted, next)
		if err != nil {
			return err
		}
		w.counted, w.events, w.orders = next, w.events+events, w.orders+orders
	}
	events, orders, err := countRows(ctx, pool, w.counted, highest)
	if err != nil {
		return err
	}
	w.floor.Note(now, highest)
	n.Written, n.Orders = w.events+events, w.orders+orders
	if n.Written < max(n.Applied, n.Published) && w.counted > 0 && time.Since(w.anew) >= recount {
		*w = written{anew: time.Now()}
		return w.read(ctx, pool, n)
	}
	return nil
}

// countRows counts the rows above the one and up to the other number.
func countRows(ctx context.Context, pool *pgxpool.Pool, above, upTo int64) (events, orders int64, err error) {
	if err := pool.QueryRow(ctx, selectWritten, above, upTo).Scan(&events, &orders); err != nil {
		return 0, 0, fmt.Errorf("written events: %w", err)
	}
	return events, orders, nil
}
