package eventlog

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// past is what the log knows before a command is decided.
type past struct {
	key     *usedKey // nil if the command has no key, or nobody has used it
	history []outbox.Entry
}

// usedKey is a row of idempotency_keys: what the key's first command has done.
type usedKey struct {
	requestHash []byte
	order       uuid.UUID
	version     int64 // the order's, after the command
}

const selectKey = `
SELECT request_hash, order_id, version
FROM idempotency_keys
WHERE key = $1`

// read asks for the history and the key in one round trip. The history first: each statement sees what was committed
// before it began, so a history with the key's events comes with the key. The other way round it could come without, and
// the command would be judged by a state that its own twin has made. A key that comes without its events does no harm:
// replay reads them.
func (l *Log) read(ctx context.Context, cmd Command) (past, error) {
	var p past
	batch := &pgx.Batch{}
	batch.Queue(selectHistory, cmd.Order, event.AggregateOrder).Query(func(rows pgx.Rows) (err error) {
		p.history, err = pgx.CollectRows(rows, outbox.Scan)
		return err
	})
	if cmd.Key != nil {
		batch.Queue(selectKey, cmd.Key.Value).Query(func(rows pgx.Rows) error {
			keys, err := pgx.CollectRows(rows, scanKey)
			if len(keys) == 1 {
				p.key = &keys[0]
			}
			return err
		})
	}
	if err := l.pool.SendBatch(ctx, batch).Close(); err != nil {
		return past{}, fmt.Errorf("read: %w", translateRead(err))
	}
	return p, nil
}

func scanKey(row pgx.CollectableRow) (usedKey, error) {
	var k usedKey
	err := row.Scan(&k.requestHash, &k.order, &k.version)
	return k, err
}

// replay returns the result of the key's first command. For order.Place that is about another order id than the command
// has now, and only the key knows which. An attempt of this very call that was committed between history and key is no
// replay.
func (x *execution) replay(ctx context.Context, key usedKey) (Result, error) {
	if string(key.requestHash) != string(x.cmd.Key.RequestHash[:]) {
		return Result{}, ErrKeyReused
	}
	history, err := x.log.History(ctx, key.order)
	if err != nil {
		return Result{}, fmt.Errorf("replay: %w", err)
	}
	result, err := resultAt(history, key.version)
	_, own := x.committed(history)
	result.Replayed = !own
	return result, err
}

// resultAt is the result of the command that led the order to a version. Its events are those of the same time: see
// Execute.
func resultAt(history []outbox.Entry, version int64) (Result, error) {
	if version > int64(len(history)) {
		return Result{}, fmt.Errorf("order %s: version %d is not in the log, only %d", history[0].Order, version, len(history))
	}
	history = history[:version]
	o, err := fold(history)
	if err != nil {
		return Result{}, err
	}
	var events []event.Event
	for _, e := range history {
		if e.At.Equal(o.UpdatedAt) {
			events = append(events, e.Event)
		}
	}
	return Result{ID: history[0].Order, Order: o, Events: events}, nil
}
