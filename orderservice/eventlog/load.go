package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

const selectHistory = `
SELECT ` + outbox.Columns + `
FROM outbox
WHERE aggregateid = $1
  AND aggregatetype = $2
ORDER BY version`

// Load returns the order as the fold of its events, or ErrNotFound. The orders row is not asked: it is there for
// constraints, for the lock and for looking at.
func (l *Log) Load(ctx context.Context, id uuid.UUID) (order.Order, error) {
	return l.LoadAt(ctx, id, Moment{})
}

// Moment is when an order is to be looked at: at a version, at a time, or at whichever of the two is earlier. The zero
// value is now.
type Moment struct {
	Version int64     // 0 means none
	At      time.Time // zero means none
}

// NotYetError wraps ErrNotFound: the order is there, and was not at the moment that was asked for.
type NotYetError struct {
	Version int64 // that the order is at
	Placed  time.Time
}

// Error implements error.
func (e *NotYetError) Error() string {
	return fmt.Sprintf("the order was placed at %s and is at version %d", e.Placed.Format(time.RFC3339Nano), e.Version)
}

// Unwrap is for errors.Is.
func (e *NotYetError) Unwrap() error { return ErrNotFound }

// LoadAt returns the order as it was at a moment, ErrNotFound, or a NotYetError if it did not exist then or has not come so far.
func (l *Log) LoadAt(ctx context.Context, id uuid.UUID, m Moment) (order.Order, error) {
	history, err := l.History(ctx, id)
	if err != nil {
		return order.Order{}, err
	}
	notYet := &NotYetError{Version: int64(len(history)), Placed: history[0].At}
	if m.Version > notYet.Version {
		return order.Order{}, notYet
	}
	if m.Version > 0 {
		history = history[:m.Version]
	}
	for !m.At.IsZero() && len(history) > 0 && history[len(history)-1].At.After(m.At) {
		history = history[:len(history)-1]
	}
	if len(history) == 0 {
		return order.Order{}, notYet
	}
	return fold(history)
}

// History returns all events of the order in the order of their versions, or ErrNotFound.
func (l *Log) History(ctx context.Context, id uuid.UUID) ([]outbox.Entry, error) {
	rows, _ := l.pool.Query(ctx, selectHistory, id, event.AggregateOrder) // CollectRows returns its error
	history, err := pgx.CollectRows(rows, outbox.Scan)
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", id, translateRead(err))
	}
	if len(history) == 0 {
		return nil, fmt.Errorf("history of %s: %w", id, ErrNotFound)
	}
	return history, nil
}

// fold applies the events one after the other. It refuses a history with a hole (I2): what would come of it is no state
// that any decision led to.
func fold(history []outbox.Entry) (order.Order, error) {
	var o order.Order
	for _, e := range history {
		if e.Version != o.Version+1 {
			return order.Order{}, fmt.Errorf("order %s: the log has version %d where %d must be", e.Order, e.Version, o.Version+1)
		}
		data, err := e.Data()
		if err != nil {
			return order.Order{}, fmt.Errorf("order %s v%d: %w", e.Order, e.Version, err)
		}
		o = order.Apply(o, e.Version, e.At, data)
	}
	return o, nil
}
