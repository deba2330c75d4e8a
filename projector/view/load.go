package view

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Loader applies events that the topic no longer has, in one transaction of its caller's, to tables that nobody reads yet. Each
// partition's offset is set at the end, to where the topic begins: what was loaded is below it.
type Loader struct {
	tx      pgx.Tx
	view    *View
	models  []string
	applied map[int32]int64
	parked  map[uuid.UUID]bool
}

// Load makes a Loader. The transaction's search path leads to the tables.
func (v *View) Load(ctx context.Context, tx pgx.Tx) (*Loader, error) {
	models, err := v.held(ctx, tx)
	return &Loader{tx: tx, view: v, models: models, applied: make(map[int32]int64), parked: make(map[uuid.UUID]bool)}, err
}

// Apply applies a partition's events. One whose order lacks the version before it is an error: what the topic has lost is nowhere
// else. Others that cannot be applied are parked.
func (l *Loader) Apply(ctx context.Context, part int32, events []Event) error {
	f := l.view.newFold(l.models, len(events))
	b := &pgx.Batch{}
	f.queueRead(b, events)
	if err := l.tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if err := f.all(events); err != nil {
		return err
	}
	for i := range f.letters {
		letter := &f.letters[i]
		if letter.reason == Hole {
			if !l.parked[letter.Order] {
				return fmt.Errorf("order %s v%d: %w: was the outbox pruned?", letter.Order, letter.Version, letter.err)
			}
			letter.reason = Behind
		}
		l.parked[letter.Order] = true
	}
	b = &pgx.Batch{}
	l.view.queueLetters(b, part, f.letters)
	c := f.changes(part, l.applied[part])
	if err := f.copyModels(ctx, l.tx.Conn(), c); err != nil {
		return err
	}
	if err := f.writeModels(b, c); err != nil {
		return err
	}
	l.applied[part] += int64(f.applied.Events)
	return l.tx.SendBatch(ctx, b).Close()
}

const setOffset = `
INSERT INTO projection_offsets (topic, part, topic_id, next_offset, applied_events, claim, owner)
VALUES ($1, $2, $3, $4, $5, gen_random_uuid(), 'loaded from the outbox')`

// Finish sets the offsets to where the log begins, and returns how many events were applied.
func (l *Loader) Finish(ctx context.Context, log Log) (n int64, err error) {
	b := &pgx.Batch{}
	for part, bounds := range log.Bounds {
		b.Queue(setOffset, l.view.topic, part, log.TopicID, bounds.Start, l.applied[part])
		n += l.applied[part]
	}
	return n, l.tx.SendBatch(ctx, b).Close()
}
