package life

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// written is what the orders database has of an order.
type written struct {
	customer            int32
	fulfilment, payment string
	version             int64
	events              []Event // by version
}

const selectOrder = `
SELECT customer_id, fulfilment, payment, version
FROM orders
WHERE id = $1`

const selectEvents = `
SELECT ` + outbox.Columns + `
FROM outbox
WHERE aggregateid = $1
ORDER BY version`

// written is empty for an order that is not there.
func (r *Reader) written(ctx context.Context, id uuid.UUID) (w written, err error) {
	err = inSnapshot(ctx, r.orders, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, selectOrder, id).Scan(&w.customer, &w.fulfilment, &w.payment, &w.version)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		rows, _ := tx.Query(ctx, selectEvents, id)
		w.events, err = pgx.CollectRows(rows, scanEvent)
		return err
	})
	return w, err
}

func scanEvent(row pgx.CollectableRow) (Event, error) {
	e, err := outbox.Scan(row)
	if err != nil {
		return Event{}, err
	}
	return Event{
		Version: e.Version, Type: string(e.Type), ID: e.ID, At: e.At, Seq: e.Seq, Payload: e.Payload,
		TraceID: traceOf(e.Headers[event.HeaderTraceparent]),
	}, nil
}

// traceOf is the trace id in a traceparent, "00-<trace id>-<span id>-<flags>" (W3C Trace Context section 3.2), or "".
func traceOf(traceparent string) string {
	fields := strings.Split(traceparent, "-")
	if len(fields) < 4 || len(fields[1]) != 32 {
		return ""
	}
	return fields[1]
}
