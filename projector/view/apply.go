package view

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// fence moves the position, iff the partition is still this claim's and stands where the batch begins. It comes first in
// the transaction: it takes the row's lock, so that a claim waits for the batch instead of racing it, and whoever was
// overtaken learns it before he has written anything.
const fence = `
UPDATE projection_offsets
SET next_offset = $6,
    leader_epoch = $7,
    applied_events = applied_events + $8,
    updated_at = now()
WHERE topic = $1
  AND part = $2
  AND owner_epoch = $3
  AND claim = $4
  AND next_offset = $5
RETURNING applied_events`

// Apply applies a batch of the partition's events, which begin at or after Next and ascend by offset, in one transaction
// with the offset (I8). It takes two round trips: fence and read, then write and commit.
//
// What cannot be applied is parked and counts as done with. After ErrFenced the partition is of no more use. After a *Refusal the
// events before the refused one may be applied by themselves. After any other error it may be called again, with the same events or
// with more behind them: if it is not known whether the last attempt was committed, that is found out first, and what it has applied is
// left out.
func (p *Partition) Apply(ctx context.Context, events []Event) (Applied, error) {
	if len(events) == 0 {
		return Applied{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	if p.unsettled != nil {
		if err := p.settle(ctx); err != nil {
			return Applied{}, err
		}
	}
	if p.found != nil {
		if events = p.Unapplied(events); len(events) == 0 {
			return p.told(Applied{}), nil
		}
	}
	if first := events[0].Offset; first < p.next {
		return Applied{}, fmt.Errorf("partition %d: batch begins at offset %d, before %d: %w", p.part, first, p.next, errPosition)
	}
	conn, err := p.view.pool.Acquire(ctx)
	if err != nil {
		return Applied{}, fmt.Errorf("partition %d: connect: %w", p.part, err)
	}
	defer conn.Release() // closes the connection if a transaction is open on it
	return p.transact(ctx, conn, events)
}

func (p *Partition) transact(ctx context.Context, conn *pgxpool.Conn, events []Event) (Applied, error) {
	last := events[len(events)-1]
	to := last.Offset + 1 // not + len: control records and aborted transactions take offsets too
	f := p.view.newFold(p.models, len(events))
	before, err := p.begin(ctx, conn, events, f)
	if err != nil {
		return Applied{}, fmt.Errorf("partition %d: begin at offset %d: %w", p.part, p.next, err)
	}
	if before == fenced {
		return Applied{}, errors.Join(ErrFenced, rollback(ctx, conn))
	}
	b, err := p.statements(ctx, conn, events, f, before)
	if err != nil {
		return Applied{}, errors.Join(err, rollback(ctx, conn))
	}
	b.Queue("COMMIT")
	p.unsettled = &unsettled{to: to, leaderEpoch: last.LeaderEpoch, applied: f.applied} // before it is sent: from here on the server may commit
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return Applied{}, fmt.Errorf("partition %d: write offsets %d to %d: %w", p.part, p.next, to, err)
	}
	p.next, p.leaderEpoch, p.unsettled = to, last.LeaderEpoch, nil
	return p.told(f.applied), nil
}

// Unapplied are the events from Next on. They ascend by offset.
func (p *Partition) Unapplied(events []Event) []Event {
	i, _ := slices.BinarySearchFunc(events, p.next, func(e Event, next int64) int { return cmp.Compare(e.Offset, next) })
	return events[i:]
}

// told adds what an attempt had applied that was found committed, and has not been told of yet.
func (p *Partition) told(a Applied) Applied {
	if f := p.found; f != nil {
		a = Applied{Events: f.Events + a.Events, Duplicates: f.Duplicates + a.Duplicates, Parked: append(f.Parked, a.Parked...)}
		p.found = nil
	}
	return a
}

// statements folds the events and makes the statements that write them. They are a *Refusal's if there would be too many letters.
func (p *Partition) statements(ctx context.Context, conn *pgxpool.Conn, events []Event, f *fold, before int64) (*pgx.Batch, error) {
	if err := f.all(events); err != nil {
		return nil, err
	}
	if err := p.placeLetters(ctx, conn, f); err != nil {
		return nil, err
	}
	return f.write(ctx, conn.Conn(), p, before)
}

// fenced is begin's count when the fence did not move.
const fenced = -1

// begin opens the transaction, moves the fence and reads the state of the batch's orders into f: one round trip. It returns how many
// events had been applied in the partition before, or fenced.
func (p *Partition) begin(ctx context.Context, conn *pgxpool.Conn, events []Event, f *fold) (before int64, err error) {
	last := events[len(events)-1]
	before = fenced
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(fence, p.view.topic, p.part, p.epoch, p.claim, p.next, last.Offset+1, last.LeaderEpoch, len(events)).
		Query(func(rows pgx.Rows) error {
			var after int64
			_, err := pgx.ForEachRow(rows, []any{&after}, func() error {
				before = after - int64(len(events))
				return nil
			})
			return err
		})
	f.queueRead(b, events)
	err = conn.SendBatch(ctx, b).Close() // which sets before
	return before, err
}

// queueRead asks for the state of what the events are about.
func (f *fold) queueRead(b *pgx.Batch, events []Event) {
	b.Queue(current, ids(events)).Query(f.readOrders)
	if others := noOrders(events); len(others) > 0 { // hardly ever
		b.Queue(versions, ids(others)).Query(f.readVersions)
	}
}

func (f *fold) readOrders(rows pgx.Rows) error {
	found, err := pgx.CollectRows(rows, scanOrder)
	for _, o := range found {
		f.orders[o.ID] = o
	}
	return err
}

// versions are those of what is no order: nothing but the timeline has them.
const versions = `
SELECT order_id, max(version)
FROM order_timeline
WHERE order_id = ANY($1::uuid[])
GROUP BY order_id`

func (f *fold) readVersions(rows pgx.Rows) error {
	var (
		id      uuid.UUID
		version int64
	)
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &version}, func() error {
		if f.orders[id] == nil {
			f.orders[id] = &order{Order: Order{ID: id, Version: version}, noOrder: true}
		}
		return nil
	})
	return err
}

// rollback gives the connection back clean. If it fails, the pool closes the connection, which does the same.
func rollback(ctx context.Context, conn *pgxpool.Conn) error {
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// noOrders are the events that are not about orders.
func noOrders(events []Event) (others []Event) {
	for i := range events {
		if events[i].Type.Aggregate() != event.AggregateOrder {
			others = append(others, events[i])
		}
	}
	return others
}

// ids are what the events are about, each once, in the order of the tables' primary keys.
func ids(events []Event) array[uuid.UUID] {
	seen := make(map[uuid.UUID]struct{}, len(events))
	orders := make([]uuid.UUID, 0, len(events))
	for i := range events {
		id := events[i].Order
		if _, known := seen[id]; !known && id != uuid.Nil {
			seen[id] = struct{}{}
			orders = append(orders, id)
		}
	}
	slices.SortFunc(orders, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return column(orders, same)
}
