package view

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// model is what a batch changes in one read model. It gets each event of an order that is applied, once and in order, and queues
// the statements that write the sum of it. What happens to customers is for the timeline alone.
//
// A key that an event touches is written, with zeros if need be, so that the rows depend on the events alone and not on how
// they came in batches (I10). A statement writes a whole batch's rows of one table, sorted by primary key: two transactions
// that write the same rows then take their locks in the same order. Sums are kept per partition, so that two partitions
// never wait for one row.
type model interface {
	// add takes note of an event. Before is the order as it was, with Version 0 before its first event.
	add(before, after *order, e *Event) error
	// write queues the statements, none if there is nothing to write.
	write(b *pgx.Batch, c *changes) error
}

// copier is a model of which a large batch's new rows are written with COPY, in the same transaction and before its statements.
type copier interface {
	copy(c *changes) (table string, columns []string, rows pgx.CopyFromSource)
}

// changes are what the models write beside their own: the partition and the orders that events were applied to, sorted.
type changes struct {
	part   int32
	first  int64 // place of the batch's first applied event among all that were applied in the partition
	orders []*order
	copied bool // the copiers' new rows are written already
}

// models are the read models by their names in the table read_models. One that is made later is added here, with a migration
// that makes its tables; see docs/read-models.md.
var models = map[string]func(events int) model{
	"order_summary":   func(int) model { return summaries{} },
	"order_timeline":  newTimeline,
	"customer_stats":  newCustomers,
	"item_popularity": newItems,
	"revenue_minute":  newMinutes,
	"kitchen_board":   func(int) model { return board{} },
}

// Models are the names of the read models that this program keeps, sorted.
func Models() []string { return slices.Sorted(maps.Keys(models)) }

const selectModels = `
SELECT name
FROM read_models
ORDER BY name`

// held returns the read models that the tables hold.
func (v *View) held(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, _ := tx.Query(ctx, selectModels)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	return names, v.known(names)
}

// known returns an error if one of the read models is not known to this program: it must not be left behind by it.
func (v *View) known(names []string) error {
	for _, name := range names {
		if v.models[name] == nil {
			return fmt.Errorf("%w: %s; install the version of the projector that made it", ErrUnknownModel, name)
		}
	}
	return nil
}

// fold is what a batch changes: the new state of its orders, what the models make of its events, and the dead letters.
type fold struct {
	orders  map[uuid.UUID]*order // the batch's orders; those that the database had are filled in before the first event
	models  []model
	letters []letter
	applied Applied
	before  order // the order of the event that is being applied, as it was
}

func (v *View) newFold(names []string, events int) *fold {
	f := &fold{orders: make(map[uuid.UUID]*order, events)}
	for _, name := range names {
		f.models = append(f.models, v.models[name](events))
	}
	return f
}

// all folds the events in their order.
func (f *fold) all(events []Event) error {
	for i := range events {
		if err := f.one(&events[i]); err != nil {
			return fmt.Errorf("offset %d, order %s v%d: %w", events[i].Offset, events[i].Order, events[i].Version, err)
		}
	}
	return nil
}

// one folds an event into its order, or parks it.
func (f *fold) one(e *Event) error {
	o, reason, broken := f.judge(e)
	switch {
	case broken != nil:
		f.park(e, reason, broken)
		return nil
	case e.Version <= o.Version:
		f.applied.Duplicates++
		return nil
	}
	return f.apply(o, e)
}

// judge returns the order of an event that can be applied or has been, or why it cannot.
// I9: an event is applied iff its version is the order's version + 1. That alone keeps what is behind a dead letter in order: a letter
// that is an event of the order leaves a hole, and one that is none leaves no trace.
func (f *fold) judge(e *Event) (*order, Reason, error) {
	if e.Err != nil {
		return nil, reasonOf(e.Err), e.Err
	}
	o := f.orders[e.Order]
	if o == nil {
		o = &order{Order: Order{ID: e.Order}}
		f.orders[e.Order] = o
	}
	switch next := o.Version + 1; {
	case e.Version < next:
		return o, "", nil
	case e.Version > next:
		return nil, Hole, fmt.Errorf("%w: the next one is v%d", errHole, next)
	}
	if err := o.check(e); err != nil {
		return nil, Rule, fmt.Errorf("%s: %w", e.Type, err)
	}
	return o, "", nil
}

func (f *fold) apply(o *order, e *Event) error {
	f.before = *o
	o.apply(e)
	o.touched = !o.noOrder
	for _, m := range f.models {
		if _, all := m.(*timeline); !all && o.noOrder {
			continue
		}
		if err := m.add(&f.before, o, e); err != nil {
			return err
		}
	}
	f.applied.Events++
	return nil
}

// copyFrom is the number of events from which COPY is used: below it, its two round trips for each table are not worth it.
const copyFrom = 5000

// write writes what is copied, and makes the statements that write the rest of the fold, of a partition in which so many events had
// been applied before.
func (f *fold) write(ctx context.Context, conn *pgx.Conn, p *Partition, before int64) (*pgx.Batch, error) {
	b := &pgx.Batch{}
	if others := f.applied.Duplicates + len(f.letters); others > 0 {
		b.Queue(recount, p.view.topic, p.part, others, f.applied.Duplicates)
	}
	p.view.queueLetters(b, p.part, f.letters)
	c := f.changes(p.part, before)
	if f.applied.Events >= copyFrom {
		if err := f.copyModels(ctx, conn, c); err != nil {
			return nil, err
		}
	}
	return b, f.writeModels(b, c)
}

// changes are what has changed in a partition in which so many events had been applied before.
func (f *fold) changes(part int32, before int64) *changes {
	c := &changes{part: part, first: before + 1}
	for _, o := range f.orders {
		if o.touched {
			c.orders = append(c.orders, o)
		}
	}
	slices.SortFunc(c.orders, func(a, b *order) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return c
}

func (f *fold) copyModels(ctx context.Context, conn *pgx.Conn, c *changes) error {
	for _, m := range f.models {
		if m, is := m.(copier); is {
			table, columns, rows := m.copy(c)
			if _, err := conn.CopyFrom(ctx, pgx.Identifier{table}, columns, rows); err != nil {
				return fmt.Errorf("copy into %s: %w", table, err)
			}
		}
	}
	c.copied = true
	return nil
}

func (f *fold) writeModels(b *pgx.Batch, c *changes) error {
	if f.applied.Events == 0 {
		return nil
	}
	for _, m := range f.models {
		if err := m.write(b, c); err != nil {
			return err
		}
	}
	return nil
}

// recount corrects what the fence, which does not know the versions yet, has counted as applied.
const recount = `
UPDATE projection_offsets
SET applied_events = applied_events - $3,
    duplicate_events = duplicate_events + $4
WHERE topic = $1
  AND part = $2`
