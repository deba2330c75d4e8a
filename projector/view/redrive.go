package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Redriven says what became of an order's letters.
type Redriven struct {
	Applied, Duplicates int
	Left                int   // letters that still wait
	Why                 error // why, if any do
}

// Redrive applies an order's waiting letters in the order of their versions, as far as they can be: read again by decode, and counted
// in the offsets as if they had been applied at their place. It waits for the batch that is in flight in the partition, and the next
// one for it, so that each event counts once (I8). All are applied in one transaction, unless the database cannot hold what one of
// them brings: then each in its own, up to that one.
//
// It may be called again after any error.
func (v *View) Redrive(ctx context.Context, order uuid.UUID, decode func(Record, Place) Event) (total Redriven, err error) {
	waiting, err := v.Letters(ctx, Which{Order: order, State: "waiting"})
	if err != nil {
		return Redriven{}, err
	}
	letters := make(map[int32]int) // by partition: one, unless the topic was given more
	for _, l := range waiting {
		letters[l.Part]++
	}
	for _, part := range slices.Sorted(maps.Keys(letters)) {
		one, err := v.redrivePart(ctx, part, order, letters[part], decode)
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

func (v *View) redrivePart(ctx context.Context, part int32, order uuid.UUID, letters int, decode func(Record, Place) Event) (Redriven, error) {
	total := Redriven{Left: letters}
	for most := letters; ; {
		var one Redriven
		err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) (err error) {
			one, err = v.redrive(ctx, tx, part, order, most, decode)
			return err
		})
		switch {
		case Unstorable(err) && most > 1:
			most = 1
			continue
		case Unstorable(err):
			total.Why = errors.Join(total.Why, err)
			return total, nil
		case err != nil:
			return total, err
		}
		total.Applied += one.Applied
		total.Duplicates += one.Duplicates
		total.Left, total.Why = one.Left, one.Why
		if most > 1 || one.Left == 0 || one.Applied+one.Duplicates == 0 {
			return total, nil
		}
	}
}

// holdPart comes before everything is read: what is waiting, and the order's state, are then as the last batch has left them.
const holdPart = `
SELECT applied_events
FROM projection_offsets
WHERE topic = $1
  AND part = $2
FOR UPDATE`

// redrive applies so many letters at most.
func (v *View) redrive(ctx context.Context, tx pgx.Tx, part int32, order uuid.UUID, most int, decode func(Record, Place) Event) (Redriven, error) {
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
	id := column([]uuid.UUID{order}, same)
	b.Queue(current, id).Query(f.readOrders)
	b.Queue(versions, id).Query(f.readVersions) // of what the letters have it is not known yet whether it is an order
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return Redriven{}, err
	}
	done, result, err := f.again(letters, most, decode)
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

// again folds the letters that can be applied now, so many at most, by version, and returns their offsets. Those that cannot be read
// have no version and are left: they may never have been events, and if they were, the hole that they leave stops the others.
func (f *fold) again(letters []Letter, most int, decode func(Record, Place) Event) (done []int64, result Redriven, err error) {
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
	for i := range min(most, len(events)) {
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
