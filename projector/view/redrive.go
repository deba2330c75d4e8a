package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Letter is a dead letter as it is stored.
type Letter struct {
	Part    int32
	Offset  int64
	Order   uuid.UUID // Nil if the record's key is none
	Version int64     // 0 if it is not known
	Reason  Reason
	Error   string
	State   string // waiting, redriven or discarded
	Parked  time.Time
	Settled *time.Time
	Note    string // why it was discarded
	Record  Record
}

// Which says which letters are meant. The zero value means all.
type Which struct {
	Order  uuid.UUID // of this order; Nil for those of any
	Record *Place    // the one at this place
	State  string    // in this state; empty for any
}

// Place is a record's place in the topic.
type Place struct {
	Part   int32
	Offset int64
}

const selectLetters = `
SELECT part, record_offset, coalesce(order_id, '00000000-0000-0000-0000-000000000000'), coalesce(version, 0), reason, error, state,
       parked_at, settled_at, coalesce(note, ''), key, value, headers, recorded_at
FROM dead_letters
WHERE topic = $1
  AND ($2::uuid IS NULL OR order_id = $2)
  AND ($3::integer IS NULL OR part = $3 AND record_offset = $4)
  AND ($5 = '' OR state = $5)
ORDER BY part, record_offset`

func (w Which) args(topic string) []any {
	args := []any{topic, pgtype.UUID{Bytes: w.Order, Valid: w.Order != uuid.Nil}, nil, nil, w.State}
	if w.Record != nil {
		args[2], args[3] = w.Record.Part, w.Record.Offset
	}
	return args
}

// Letters returns the topic's dead letters, by partition and offset.
func (v *View) Letters(ctx context.Context, which Which) ([]Letter, error) {
	rows, _ := v.pool.Query(ctx, selectLetters, which.args(v.topic)...)
	letters, err := pgx.CollectRows(rows, scanLetter)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return letters, nil
}

func scanLetter(row pgx.CollectableRow) (l Letter, err error) {
	var headers []byte
	err = row.Scan(&l.Part, &l.Offset, (*[16]byte)(&l.Order), &l.Version, &l.Reason, &l.Error, &l.State,
		&l.Parked, &l.Settled, &l.Note, &l.Record.Key, &l.Record.Value, &headers, &l.Record.At)
	if err != nil {
		return l, err
	}
	l.Record.Headers, err = decodeHeaders(headers)
	return l, err
}

// Redriven says what became of an order's letters.
type Redriven struct {
	Applied, Duplicates int
	Left                int   // letters that still wait
	Why                 error // why, if any do
}

// Redrive applies an order's waiting letters in the order of their versions, as far as they can be, in one transaction: read again by
// decode, and counted in the offsets as if they had been applied at their place. It waits for the batch that is in flight in the
// partition, and the next one for it, so that each event counts once (I8).
//
// It may be called again after any error.
func (v *View) Redrive(ctx context.Context, order uuid.UUID, decode func(Record, Place) Event) (total Redriven, err error) {
	waiting, err := v.Letters(ctx, Which{Order: order, State: "waiting"})
	if err != nil {
		return Redriven{}, err
	}
	parts := make([]int32, len(waiting))
	for i, l := range waiting {
		parts[i] = l.Part
	}
	for _, part := range slices.Compact(parts) { // one, unless the topic was given more partitions
		var one Redriven
		err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) (err error) {
			one, err = v.redrive(ctx, tx, part, order, decode)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("redrive order %s: %w", order, err)
		}
		total.Applied += one.Applied
		total.Duplicates += one.Duplicates
		total.Left += one.Left
		total.Why = errors.Join(total.Why, one.Why)
	}
	return total, nil
}

// holdPart comes before everything is read: what is waiting, and the order's state, are then as the last batch has left them.
const holdPart = `
SELECT applied_events
FROM projection_offsets
WHERE topic = $1
  AND part = $2
FOR UPDATE`

func (v *View) redrive(ctx context.Context, tx pgx.Tx, part int32, order uuid.UUID, decode func(Record, Place) Event) (Redriven, error) {
	var before int64
	if err := tx.QueryRow(ctx, holdPart, v.topic, part).Scan(&before); err != nil {
		return Redriven{}, err
	}
	names, err := v.held(ctx, tx)
	if err != nil {
		return Redriven{}, err
	}
	rows, _ := tx.Query(ctx, selectLetters, Which{Order: order, State: "waiting"}.args(v.topic)...)
	letters, err := pgx.CollectRows(rows, scanLetter)
	if err != nil {
		return Redriven{}, err
	}
	letters = slices.DeleteFunc(letters, func(l Letter) bool { return l.Part != part })
	f := v.newFold(names, len(letters))
	b := &pgx.Batch{}
	b.Queue(current, column([]uuid.UUID{order}, pgUUID)).Query(f.readOrders)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return Redriven{}, err
	}
	done, result, err := f.again(letters, decode)
	if err != nil || len(done) == 0 {
		return result, err
	}
	b = &pgx.Batch{}
	b.Queue(countRedriven, v.topic, part, result.Applied, result.Duplicates)
	b.Queue(settleRedriven, v.topic, part, done)
	if err := f.writeModels(b, f.changes(part, before)); err != nil {
		return Redriven{}, err
	}
	return result, tx.SendBatch(ctx, b).Close()
}

const countRedriven = `
UPDATE projection_offsets
SET applied_events = applied_events + $3,
    duplicate_events = duplicate_events + $4,
    updated_at = now()
WHERE topic = $1
  AND part = $2`

const settleRedriven = `
UPDATE dead_letters
SET state = 'redriven',
    settled_at = now()
WHERE topic = $1
  AND part = $2
  AND record_offset = ANY($3::bigint[])`

// again folds the letters that can be applied now, by version, and returns their offsets. Those that cannot be read have no version
// and are left: they may never have been events, and if they were, the hole that they leave stops the others.
func (f *fold) again(letters []Letter, decode func(Record, Place) Event) (done []int64, result Redriven, err error) {
	result.Left = len(letters)
	events := make([]Event, 0, len(letters))
	for _, l := range letters {
		e := decode(l.Record, Place{l.Part, l.Offset})
		if e.Err != nil {
			result.Why = errors.Join(result.Why, fmt.Errorf("partition %d, offset %d: %w", l.Part, l.Offset, e.Err))
			continue
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Version, b.Version) })
	for i := range events {
		if err := f.one(&events[i]); err != nil {
			return nil, Redriven{}, err
		}
		if n := len(f.letters); n > 0 {
			l := f.letters[n-1]
			result.Why = errors.Join(result.Why, fmt.Errorf("v%d: %w", l.Version, l.err))
			break
		}
		done = append(done, events[i].Offset)
	}
	result.Applied, result.Duplicates = f.applied.Events, f.applied.Duplicates
	result.Left -= len(done)
	return done, result, nil
}

const discard = `
UPDATE dead_letters
SET state = 'discarded',
    settled_at = now(),
    note = $6
WHERE topic = $1
  AND ($2::uuid IS NULL OR order_id = $2)
  AND ($3::integer IS NULL OR part = $3 AND record_offset = $4)
  AND state = $5`

// Discard gives up an order's waiting letters, or the one at a place, for a reason that is kept, and returns how many. What they say
// is never applied, and no sum counts it. An order whose own event was among them stays blocked by the hole that it leaves.
func (v *View) Discard(ctx context.Context, which Which, note string) (int64, error) {
	if which.Order == uuid.Nil && which.Record == nil {
		return 0, errors.New("discard: an order or a record must be named")
	}
	which.State = "waiting"
	var n int64
	err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		// After the batches in flight: one could park an event behind a letter that is no longer there.
		if _, err := tx.Exec(ctx, "SELECT FROM projection_offsets WHERE topic = $1 ORDER BY part FOR UPDATE", v.topic); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, discard, append(which.args(v.topic), note)...)
		n = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("discard dead letters: %w", err)
	}
	return n, nil
}

const countWaiting = `
SELECT part, count(DISTINCT order_id) + count(*) FILTER (WHERE order_id IS NULL)
FROM dead_letters
WHERE state = 'waiting'
  AND topic = $1
GROUP BY part`

// Blocked returns how many orders have waiting letters, by partition. Letters without an order count as one each.
func (v *View) Blocked(ctx context.Context) (map[int32]int, error) {
	var (
		n    = make(map[int32]int)
		part int32
		one  int
	)
	rows, _ := v.pool.Query(ctx, countWaiting, v.topic) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&part, &one}, func() error {
		n[part] = one
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	return n, nil
}
