package eventlog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// Append adds events to an order that is at the expected version, 0 for one that does not exist yet. Next is the order
// after them. The order's row, the events and the key, if it is not nil, are written in one transaction (I1).
//
// It returns ErrConflict if the order is at another version (I2), errKeyTaken if the key exists, and ErrOutcomeUnknown
// if the connection was lost after the transaction was sent; Execute deals with all three.
//
// One round trip: the statements and a single Sync are sent at once, and what stands before a Sync is one transaction
// (PostgreSQL documentation, 55.2.4 Pipelining). So there is no BEGIN and no COMMIT to send, and between them no moment
// in which a client that dies leaves a transaction open. The price is that no result can be looked at before the commit:
// each statement must fail by itself when it has to, and then none of them has any effect.
func (l *Log) Append(ctx context.Context, next order.Order, expected int64, events []event.Event, key *Key) error {
	if err := checkVersions(next, expected, events); err != nil {
		return err
	}
	id := events[0].Order
	batch := &pgx.Batch{}
	// The key first: of two commands with one key the second waits here, and is then told about the key. Behind the
	// state it would be told of a conflict with its own twin.
	if key != nil {
		batch.Queue(insertKey, key.Value, key.RequestHash[:], [16]byte(id), next.Version)
	}
	if err := queueState(batch, id, expected, next); err != nil {
		return fmt.Errorf("append %s v%d: %w", id, next.Version, err)
	}
	if _, err := outbox.Queue(batch, events); err != nil {
		return fmt.Errorf("append %s v%d: %w", id, next.Version, err)
	}
	if err := l.send(ctx, batch); err != nil {
		return fmt.Errorf("append %s v%d: %w", id, next.Version, err)
	}
	return nil
}

const insertKey = `
INSERT INTO idempotency_keys (key, request_hash, order_id, version)
VALUES ($1, $2, $3, $4)`

// The first event's order row. That it exists already is a conflict: orders_pkey.
//
// Who was erased has an id of NULL here, which the column refuses (23502). The foreign key locks the customer's row in any case; FOR
// SHARE instead of its FOR KEY SHARE lets an erasure and an order wait for each other, so that none is placed after an erasure.
const insertState = `
INSERT INTO orders (id, customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at)
VALUES ($1, (SELECT id FROM customers WHERE id = $2 AND erased_at IS NULL FOR SHARE), $3, $4, $5, $6, $7, $8, $9, $10)`

// The compare-and-set. An UPDATE that finds no row is no error, and the events behind it would be committed without it;
// dividing by the number of updated rows makes it one (22012, which nothing else here can raise).
//
// A concurrent writer of the same order waits on the row until the first has committed. Then Postgres checks the WHERE
// again with the new version (read committed), and the second divides by zero.
const updateState = `
WITH updated AS (
    UPDATE orders
    SET fulfilment = $3, payment = $4, version = $5, total_minor = $6, state = $7, updated_at = $8
    WHERE id = $1
      AND version = $2
    RETURNING 1
)
SELECT 1 / count(*)
FROM updated`

func queueState(batch *pgx.Batch, id uuid.UUID, expected int64, o order.Order) error {
	state, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	if expected == 0 {
		batch.Queue(insertState, [16]byte(id), o.CustomerID, string(o.Fulfilment), string(o.Payment), o.Version, o.Total.Minor,
			o.Total.Currency, string(state), o.PlacedAt, o.UpdatedAt)
		return nil
	}
	batch.Queue(updateState, [16]byte(id), expected, string(o.Fulfilment), string(o.Payment), o.Version, o.Total.Minor,
		string(state), o.UpdatedAt)
	return nil
}

// send runs the batch as one transaction. It was committed if and only if the error is nil, unless the error wraps
// ErrOutcomeUnknown.
func (l *Log) send(ctx context.Context, batch *pgx.Batch) error {
	// Acquired apart from sending: without a connection nothing was sent, and the outcome is known.
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer conn.Release()
	// Close reads all results and then waits for the answer to the Sync. The commit happens between the two: a
	// statement's success alone means nothing.
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return translateWrite(err)
	}
	return nil
}

// checkVersions holds what the caller computed to I2: the events are expected+1..next.Version of one order.
func checkVersions(next order.Order, expected int64, events []event.Event) error {
	if len(events) == 0 || next.Version != expected+int64(len(events)) {
		return fmt.Errorf("append: %d events do not lead from version %d to %d", len(events), expected, next.Version)
	}
	for i, e := range events {
		if e.Order != events[0].Order || e.Version != expected+int64(i)+1 {
			return fmt.Errorf("append %s: event %d is version %d of %s", events[0].Order, i, e.Version, e.Order)
		}
	}
	return nil
}
