package life

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// applied is what the read model has of an order, and how far it is.
type applied struct {
	version int64
	blocked string
	events  map[int64]appliedEvent // by version
	next    map[int32]int64        // by partition: the first offset that it has not read; nil if it does not answer
}

// appliedEvent is an event that the read model has read.
type appliedEvent struct {
	id        uuid.UUID
	kind      string
	at        time.Time
	partition int32
	offset    int64 // of its record; -1: not known
	parked    bool  // it could not be applied
}

const selectVersion = `
SELECT version
FROM order_summary
WHERE order_id = $1`

// Offsets below 0 are those of events that were loaded out of the outbox, and whose records nobody has.
const selectTimeline = `
SELECT version, event_id, type, at, coalesce(part, -1), greatest(coalesce(record_offset, -1), -1)
FROM order_timeline
WHERE order_id = $1`

const selectLetters = `
SELECT version, reason, part, greatest(record_offset, -1)
FROM dead_letters
WHERE order_id = $1
  AND topic = $2
  AND state = 'waiting'
ORDER BY version`

const selectOffsets = `
SELECT part, next_offset
FROM projection_offsets
WHERE topic = $1`

// applied is empty for an order that is not there.
func (r *Reader) applied(ctx context.Context, id uuid.UUID) (applied, error) {
	a := applied{events: make(map[int64]appliedEvent), next: make(map[int32]int64)}
	err := inSnapshot(ctx, r.readModel, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, selectVersion, id).Scan(&a.version); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := a.timeline(ctx, tx, id); err != nil {
			return err
		}
		if err := a.letters(ctx, tx, id, r.topic); err != nil {
			return err
		}
		return a.offsets(ctx, tx, r.topic)
	})
	if err != nil {
		return applied{}, err
	}
	return a, nil
}

func (a *applied) timeline(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	rows, _ := tx.Query(ctx, selectTimeline, id) //nolint:rowserrcheck // ForEachRow checks it
	var (
		version int64
		e       appliedEvent
	)
	_, err := pgx.ForEachRow(rows, []any{&version, &e.id, &e.kind, &e.at, &e.partition, &e.offset}, func() error {
		e.at = e.at.UTC()
		a.events[version] = e
		return nil
	})
	return err
}

// letters notes why the order is blocked, and where its events are that wait.
func (a *applied) letters(ctx context.Context, tx pgx.Tx, id uuid.UUID, topic string) error {
	rows, _ := tx.Query(ctx, selectLetters, id, topic) //nolint:rowserrcheck // ForEachRow checks it
	var (
		version *int64
		reason  string
		e       = appliedEvent{parked: true}
	)
	_, err := pgx.ForEachRow(rows, []any{&version, &reason, &e.partition, &e.offset}, func() error {
		if a.blocked == "" {
			a.blocked = reason
		}
		if version == nil {
			return nil
		}
		if _, is := a.events[*version]; !is { // or it is a second record of an event that is applied
			a.events[*version] = e
		}
		return nil
	})
	return err
}

func (a *applied) offsets(ctx context.Context, tx pgx.Tx, topic string) error {
	rows, _ := tx.Query(ctx, selectOffsets, topic) //nolint:rowserrcheck // ForEachRow checks it
	var (
		part int32
		next int64
	)
	_, err := pgx.ForEachRow(rows, []any{&part, &next}, func() error {
		a.next[part] = next
		return nil
	})
	return err
}
