package view

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

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

// board keeps kitchen_board: the orders that the kitchen has to do with.
type board struct{}

func (board) add(*order, *order, *Event) error { return nil } // an order's state says where it belongs

func (board) write(b *pgx.Batch, c *changes) error {
	var (
		cooking []*order
		items   []int64
		gone    []uuid.UUID
	)
	for _, o := range c.orders {
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
			column(cooking, func(o *order) uuid.UUID { return o.ID }),
			column(cooking, func(o *order) string { return o.Fulfilment }),
			column(items, same),
			column(cooking, func(o *order) time.Time { return o.PromisedAt }),
			column(cooking, func(o *order) time.Time { return o.Since }),
		)
	}
	if len(gone) > 0 {
		b.Queue(clearBoard, column(gone, same))
	}
	return nil
}
