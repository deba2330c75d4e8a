package view

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// fold is what a batch changes: the new state of its orders, and the differences that its events make to the sums.
// A key that an event touches has an entry, with zeros if need be, so that the rows of a table depend on the events
// alone and not on how they came in batches (I10).
type fold struct {
	orders    map[uuid.UUID]*order // the batch's orders; those that the database had are filled in before the first event
	timeline  []timelineRow
	customers map[customerKey]*customerDelta
	items     map[itemKey]*itemDelta
	minutes   map[minuteKey]*minuteDelta
	applied   Applied
}

type timelineRow struct {
	order   uuid.UUID
	version int64
	event   uuid.UUID
	kind    event.Type
	at      time.Time
}

type customerKey struct {
	customer int32
	currency string
}

type customerDelta struct {
	orders, completed, cancelled, spent, refunded, tips int64
	lastOrderAt                                         time.Time
}

type itemKey struct {
	hour     time.Time
	item     int32
	currency string
}

type itemDelta struct {
	orders, quantity, revenue int64
}

type minuteKey struct {
	minute   time.Time
	currency string
}

type minuteDelta struct {
	orders, gross, refunded, tips, cancelled int64
}

func newFold(events int) *fold {
	return &fold{
		orders:    make(map[uuid.UUID]*order, events),
		timeline:  make([]timelineRow, 0, events),
		customers: make(map[customerKey]*customerDelta),
		items:     make(map[itemKey]*itemDelta),
		minutes:   make(map[minuteKey]*minuteDelta),
	}
}

// all folds the events in their order. A *Refusal says which of them must not be applied; the fold is of no use then.
func (f *fold) all(events []Event) error {
	for i, e := range events {
		if err := f.one(e); err != nil {
			return &Refusal{Index: i, Offset: e.Offset, Order: e.Order, Version: e.Version, Err: err}
		}
	}
	return nil
}

// one folds an event into its order.
// I9: an event is applied iff its version is the order's version + 1.
func (f *fold) one(e Event) error {
	o := f.orders[e.Order]
	if o == nil {
		o = &order{ID: e.Order}
		f.orders[e.Order] = o
	}
	switch next := o.Version + 1; {
	case e.Version < next:
		f.applied.Duplicates++
		return nil
	case e.Version > next:
		return fmt.Errorf("%w: the next one is v%d", ErrHole, next)
	}
	if err := f.apply(o, e); err != nil {
		return fmt.Errorf("%s: %w", e.Type, err)
	}
	f.timeline = append(f.timeline, timelineRow{order: e.Order, version: e.Version, event: e.ID, kind: e.Type, at: o.UpdatedAt})
	f.applied.Events++
	return nil
}

func (f *fold) apply(o *order, e Event) error {
	if err := fits(e.Data); err != nil {
		return err
	}
	if d, first := e.Data.(event.OrderPlaced); first {
		return f.place(o, e, d)
	}
	if o.Version == 0 {
		return errNotPlaced
	}
	if err := f.money(o, e); err != nil {
		return err
	}
	o.advance(e)
	switch e.Data.(type) {
	case event.OrderCollected, event.OrderDelivered:
		f.customer(o).completed++
	case event.OrderCancelled:
		f.customer(o).cancelled++
		f.minute(o).cancelled++
	}
	return nil
}

func (f *fold) place(o *order, e Event, d event.OrderPlaced) error {
	if o.Version != 0 {
		return errPlacedAgain
	}
	at := micro(e.At)
	*o = order{
		ID: e.Order, Customer: int32(d.CustomerID), //nolint:gosec // fits has looked
		Service: string(d.Service), Fulfilment: placed, Payment: none,
		Version: e.Version, Total: d.Total.Minor, Currency: d.Total.Currency,
		PlacedAt: at, UpdatedAt: at,
	}
	if err := o.setLines(d.Lines); err != nil {
		return err
	}
	f.customer(o).orders++
	f.minute(o).orders++
	return f.count(o, d.Lines, 1)
}

// money adds an event's amount to the order and to the sums.
func (f *fold) money(o *order, e Event) error {
	var amount event.Money
	switch d := e.Data.(type) {
	case event.PaymentCaptured:
		amount = d.Amount
	case event.RefundIssued:
		amount = d.Amount
	case event.TipAdded:
		amount = d.Amount
	case event.OrderLinesChanged:
		return f.changeLines(o, d)
	default:
		return nil
	}
	minor, err := o.minor(amount)
	if err != nil {
		return err
	}
	customer, minute := f.customer(o), f.minuteAt(o, micro(e.At))
	switch e.Data.(type) {
	case event.PaymentCaptured:
		o.Captured += minor
		customer.spent += minor
		minute.gross += minor
	case event.RefundIssued:
		o.Refunded += minor
		customer.refunded += minor
		minute.refunded += minor
	case event.TipAdded:
		o.Tip += minor
		customer.tips += minor
		minute.tips += minor
	}
	return nil
}

// changeLines takes the old lines out of the hour in which the order was placed, and puts the new ones there.
func (f *fold) changeLines(o *order, d event.OrderLinesChanged) error {
	total, err := o.minor(d.Total)
	if err != nil {
		return err
	}
	old, err := o.lines()
	if err != nil {
		return err
	}
	if err := f.count(o, old, -1); err != nil {
		return err
	}
	if err := f.count(o, d.Lines, 1); err != nil {
		return err
	}
	o.Total = total
	return o.setLines(d.Lines)
}

// count adds the lines to the popularity of their items, or takes them away when sign is -1. An item that is in two lines
// is in one order.
func (f *fold) count(o *order, lines []event.Line, sign int64) error {
	seen := make(map[int]bool, len(lines))
	for _, l := range lines {
		price, err := o.minor(l.UnitPrice)
		if err != nil {
			return err
		}
		if l.ItemID != int(int32(l.ItemID)) { //nolint:gosec // the comparison is the check
			return fmt.Errorf("item id %d does not fit into four bytes", l.ItemID)
		}
		item := f.item(o, int32(l.ItemID)) //nolint:gosec // checked above
		if !seen[l.ItemID] {
			item.orders += sign
			seen[l.ItemID] = true
		}
		item.quantity += sign * int64(l.Quantity)
		item.revenue += sign * int64(l.Quantity) * price
	}
	return nil
}

func (f *fold) customer(o *order) *customerDelta {
	c := entry(f.customers, customerKey{o.Customer, o.Currency})
	if o.PlacedAt.After(c.lastOrderAt) {
		c.lastOrderAt = o.PlacedAt
	}
	return c
}

func (f *fold) item(o *order, item int32) *itemDelta {
	return entry(f.items, itemKey{bucket(o.PlacedAt, time.Hour), item, o.Currency})
}

// minute is the minute of the event that was applied last.
func (f *fold) minute(o *order) *minuteDelta { return f.minuteAt(o, o.UpdatedAt) }

func (f *fold) minuteAt(o *order, at time.Time) *minuteDelta {
	return entry(f.minutes, minuteKey{bucket(at, time.Minute), o.Currency})
}

// bucket is the UTC hour or minute that a time is in, as a map's key: times that differ in their location only are not
// equal for Go, and those that come from the database are local.
func bucket(t time.Time, width time.Duration) time.Time { return t.UTC().Truncate(width) }

func entry[K comparable, V any](m map[K]*V, key K) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}
