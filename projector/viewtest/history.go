// Package viewtest makes histories of orders, and of a customer now and then, and says what the read model has to be after them, for tests. The oracle
// shares nothing with the fold that it judges. Check tests a read model with them: see docs/read-models.md.
package viewtest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Event is view.Event: the packages' tests convert it, so that this one need not import what it judges.
type Event struct {
	event.Event

	Offset      int64
	LeaderEpoch int32
	Data        event.Data
}

// First is when the first event of a history happens: close to the end of an hour.
var First = time.Date(2026, 11, 23, 9, 59, 48, 0, time.UTC)

// History makes n events of so many orders at a time, interleaved. It is the same for the same seed. Offsets have gaps, as
// those of a log with control records have.
func History(seed uint64, orders, n int) []Event {
	r := rand.New(rand.NewPCG(seed, 7))
	lives := make([]*life, orders)
	for i := range lives {
		lives[i] = &life{r: r, id: newID(r)}
	}
	var events []Event
	at, offset := First, int64(0)
	for len(events) < n {
		i := r.IntN(len(lives))
		d := lives[i].next()
		if d == nil {
			lives[i] = &life{r: r, id: newID(r)}
			continue
		}
		at = at.Add(time.Duration(r.IntN(900_000)) * time.Microsecond)
		lives[i].version++
		e, err := event.New(lives[i].id, lives[i].version, at, d)
		if err != nil {
			panic(err)
		}
		e.ID = newID(r)
		events = append(events, Event{Event: e, Offset: offset, LeaderEpoch: -1, Data: d})
		offset += 1 + int64(r.IntN(8)/7)*int64(r.IntN(5))
	}
	return events
}

func newID(r *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(r.UintN(256))
	}
	return id
}

// life is one order on its way. It visits each type of event, and ends at a random place.
type life struct {
	r       *rand.Rand
	id      uuid.UUID
	version int64
	step    string
	lines   []event.Line
	total   int64
	money   string
	paid    int64
	back    int64
}

func (l *life) amount(n int64) event.Money { return event.Money{Minor: n, Currency: l.money} }

func (l *life) newLines() {
	l.lines, l.total = nil, 0
	for range 1 + l.r.IntN(3) {
		item := 1 + l.r.IntN(4) // often the same item twice
		price := int64(100 * item)
		line := event.Line{ItemID: item, Name: fmt.Sprint("item ", item), Quantity: 1 + l.r.IntN(3), UnitPrice: l.amount(price)}
		l.lines, l.total = append(l.lines, line), l.total+price*int64(line.Quantity)
	}
}

func (l *life) next() event.Data {
	d, step := l.choose()
	l.step = step
	return d
}

func (l *life) choose() (event.Data, string) {
	switch pick := l.r.IntN(8); l.step {
	case "":
		if l.id[15] < 16 { // one of sixteen is no order's but a customer's
			return event.CustomerErased{CustomerID: 1 + l.r.IntN(3)}, "erased"
		}
		l.money = []string{"EUR", "EUR", "EUR", "USD"}[pick%4]
		l.newLines()
		return event.OrderPlaced{CustomerID: 1 + l.r.IntN(3), Service: event.Delivery, Lines: l.lines, Total: l.amount(l.total)}, "placed"
	case "placed":
		switch pick {
		case 0:
			return event.OrderExpired{}, "over"
		case 1:
			return event.PaymentFailed{Reason: "declined"}, "placed"
		}
		return event.PaymentAuthorized{Amount: l.amount(l.total)}, "confirmed"
	case "confirmed", "accepted":
		if pick < 2 {
			old := l.total
			l.newLines()
			return event.OrderLinesChanged{Lines: l.lines, OldTotal: l.amount(old), Total: l.amount(l.total)}, l.step
		}
		return l.kitchen(pick)
	case "preparing":
		if pick == 0 {
			return event.OrderCancelled{By: "kitchen", Fee: l.amount(50)}, "cancelled"
		}
		return event.OrderReady{}, "ready"
	case "ready":
		if pick < 3 {
			return event.OrderCollected{}, "capture"
		}
		return event.OrderDispatched{Courier: []string{"Ada", "Bea", "Cy"}[l.id[1]%3]}, "in delivery"
	case "in delivery":
		if pick == 0 {
			return event.DeliveryFailed{Reason: "nobody home"}, "capture"
		}
		return event.OrderDelivered{}, "capture"
	}
	return l.after()
}

func (l *life) kitchen(pick int) (event.Data, string) {
	switch {
	case pick == 2:
		return event.OrderCancelled{By: "customer", Fee: event.Money{}}, "cancelled"
	case l.step == "accepted":
		return event.PreparationStarted{}, "preparing"
	case pick == 3:
		return event.OrderRejected{Reason: "full"}, "cancelled"
	}
	return event.OrderAccepted{ReadyAt: First.Add(time.Duration(l.r.IntN(1e9))).Add(time.Hour)}, "accepted"
}

func (l *life) after() (event.Data, string) {
	switch pick := l.r.IntN(4); {
	case l.step == "erased":
		return nil, "over"
	case l.step == "cancelled":
		return event.PaymentVoided{}, "over"
	case l.step == "capture":
		l.paid = l.total
		return event.PaymentCaptured{Amount: l.amount(l.paid)}, "captured"
	case l.step == "refunding":
		if pick == 0 {
			return event.RefundDenied{Reason: "no"}, "captured"
		}
		part := min(l.paid-l.back, max(1, l.paid/2))
		l.back += part
		return event.RefundIssued{Amount: l.amount(part)}, "captured"
	case l.step == "captured" && pick == 0:
		return event.OrderRated{Stars: 1 + l.r.IntN(5)}, "captured"
	case l.step == "captured" && pick == 1:
		return event.TipAdded{Amount: l.amount(25)}, "captured"
	case l.step == "captured" && pick == 2 && l.back < l.paid:
		return event.RefundRequested{Amount: l.amount(1)}, "refunding"
	}
	return nil, "over"
}
