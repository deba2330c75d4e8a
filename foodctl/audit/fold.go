package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// fold walks the outbox order by order and compares what the events come to with the tables that must say the same: the
// orders table, and the read model's. One order is in memory at a time.
type fold struct {
	orders *cursor[orderRow]
	erased *erased
	model  *model // nil: there is no read model to compare
	list   *findings

	// The order whose events are being walked.
	id     uuid.UUID
	full   order.Order // all of its events
	seen   order.Order // those that the read model says it reflects
	since  time.Time   // of the event that led to seen's fulfilment
	walked int64       // orders so far
	holed  bool        // a version is missing in the source, so there is nothing to compare with
}

// walk compares everything. tx is a snapshot of the orders database that is younger than the read model's, so that it
// has every event that the read model reflects.
func (f *fold) walk(ctx context.Context, tx pgx.Tx, orders, customers *Table) error {
	var counted Table
	entries, err := openCursor(ctx, tx, &counted, selectEntries, scanEntry)
	if err != nil {
		return err
	}
	if f.orders, err = openCursor(ctx, tx, orders, selectOrders, scanOrder); err != nil {
		return err
	}
	if f.erased, err = readErased(ctx, tx, customers, f.list); err != nil {
		return err
	}
	for {
		e, err := entries.head(ctx)
		if err != nil {
			return err
		}
		if e == nil || e.Order != f.id {
			if err := f.finish(ctx); err != nil {
				return err
			}
		}
		if e == nil {
			return f.drain(ctx)
		}
		f.id = e.Order
		take := f.step
		if e.Type.Aggregate() == event.AggregateCustomer {
			take = f.customer
		}
		if err := take(ctx, e.Event); err != nil {
			return err
		}
		entries.skip()
	}
}

// step applies the order's next event.
func (f *fold) step(ctx context.Context, e event.Event) error {
	if f.holed {
		return nil
	}
	if e.Version != f.full.Version+1 {
		f.holed = true
		f.wrongOrder(f.id, e.Version, fmt.Sprintf("the outbox has no version %d of this order (I2)", f.full.Version+1))
		return nil
	}
	data, err := e.Data()
	if err != nil {
		return fmt.Errorf("fold order %s: %w", e.Order, err)
	}
	from := f.full
	f.full = order.Apply(f.full, e.Version, e.At, data)
	if f.model == nil {
		return nil
	}
	f.model.parked(e)
	if !f.model.reflects(e.ID) || f.seen.Version != from.Version {
		return nil
	}
	f.seen = f.full
	if f.full.Fulfilment != from.Fulfilment {
		f.since = e.At
	}
	f.model.sums.add(from, f.full, e.At, data)
	return f.model.event(ctx, e)
}

// finish compares the order whose last event has been walked with its rows.
func (f *fold) finish(ctx context.Context) error {
	if f.full.Version == 0 && !f.holed {
		return nil // before the first order, or behind a customer
	}
	f.walked++
	row, err := f.orders.take(ctx, key{order: f.id}, f.orphan)
	if err != nil {
		return err
	}
	switch {
	case f.holed:
	case row == nil:
		f.wrongOrder(f.id, f.full.Version, "row is missing")
	default:
		if d := row.differs(f.full); len(d) > 0 {
			f.wrongOrder(f.id, row.version, d.String())
		}
	}
	if f.model != nil && !f.holed {
		if err := f.model.order(ctx, f.id, f.seen, f.since); err != nil {
			return err
		}
	}
	f.full, f.seen, f.since, f.holed = order.Order{}, order.Order{}, time.Time{}, false
	return nil
}

func (f *fold) drain(ctx context.Context) error {
	f.erased.drain()
	if err := f.orders.drain(ctx, f.orphan); err != nil || f.model == nil {
		return err
	}
	return f.model.drain(ctx)
}

func (f *fold) orphan(row orderRow) {
	f.wrongOrder(row.id, row.version, "no event of the outbox is about this order")
}

func (f *fold) wrongOrder(id uuid.UUID, version int64, detail string) {
	f.orders.table.Wrong++
	f.list.add(Offender{Kind: WrongOrder, Table: "orders", Order: id, Version: version, Detail: detail})
}
