// Package eventlog keeps orders in Postgres as their events, and erases customers by one.
//
// It promises that an order's state, its events and the idempotency key of the command that made them commit together or
// not at all (I1); that the versions of one order are 1..n without a hole, and that of two writers who saw the same
// version one gets a conflict (I2); and that a command given again under its idempotency key has one effect (I12).
//
// It does not promise that a command without a key has one effect when the caller gives it again, and it says nothing
// about when the events reach the topic.
package eventlog

import (
	"context"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// Log is the event log in one orders database. It is safe for concurrent use and holds nothing of the orders.
type Log struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
}

// New returns the log in the pool's database. The pool stays the caller's to close. The logger is told of each event, at
// debug level.
//
// The pool should set lock_timeout (a few seconds), so that a command that meets a hung writer ends in ErrConflict or
// ErrKeyInUse; without it, the command waits as long as its context lets it.
func New(pool *pgxpool.Pool, logger *slog.Logger) *Log {
	return &Log{pool: pool, logger: logger}
}

// Command is something to do to an order, and how.
type Command struct {
	Order uuid.UUID     // for order.Place: the id of the new order
	Do    order.Command // what to do

	// Key makes the command safe to give again. Nil means none.
	Key *Key

	// Headers go into each event that the command makes; see the Header names of package event. Nil means none.
	Headers map[string]string

	// Known is the order as an earlier Result gave it. The first attempt then goes without reading, and if the order has
	// moved on since, the second reads. Nil reads at once.
	Known *order.Order

	// Expected is the version that the order must have (HTTP's If-Match). Nil takes the order as it is.
	Expected *int64
}

// Key is an idempotency key: what the caller calls this one command.
type Key struct {
	Value       string   // 1 to 255 characters
	RequestHash [32]byte // SHA-256 of the request: the same key with another request is refused
}

// Result is what a command did.
type Result struct {
	ID       uuid.UUID     // the order; for a replayed order.Place the order that was placed first
	Order    order.Order   // its state after the command
	Events   []event.Event // what the command made happen
	Replayed bool          // nothing was done now: the key's first command did it, and this is its result
}

// tell logs what a command made happen. What a replay found happened earlier, and was told then.
func (l *Log) tell(ctx context.Context, r Result) {
	if r.Replayed || !l.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for _, e := range r.Events {
		l.logger.LogAttrs(ctx, slog.LevelDebug, "event accepted",
			slog.String("order_id", e.Order.String()), slog.String("event_id", e.ID.String()),
			slog.Int64("version", e.Version), slog.String("event_type", string(e.Type)))
	}
}
