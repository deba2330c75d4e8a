package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// lives are orders on their way, so many at once, in the order in which things happen to them. Package order decides what
// may happen, so that a read model can be made of the events, and the audit can judge it. They are the same for the same
// seed.
type lives struct {
	r    *rand.Rand
	open []*life
	at   time.Time // of the last event

	customers, items *rand.Zipf
}

// life is one order.
type life struct {
	id    uuid.UUID
	state order.Order
	next  []event.Data // decided, and not yet told
	tried bool         // a payment has failed
}

// Who orders, and what there is to order. Hot ones are hot: with this exponent the first of the customers places a fifth
// of the orders, as orderservice's own generator has it.
const (
	customers = 100 // as many as the orders database has
	menu      = 20  // items
	skew      = 1.1
)

// gap is the mean time between two events. It says how many of them share a row of a minute or an hour.
const gap = 10 * time.Millisecond

func newLives(seed uint64, open int) *lives {
	r := rand.New(rand.NewPCG(seed, 11))
	l := &lives{r: r, open: make([]*life, open), at: firstAt}
	l.customers, l.items = rand.NewZipf(r, skew, 1, customers-1), rand.NewZipf(r, skew, 1, menu-1)
	for i := range l.open {
		l.open[i] = &life{}
	}
	return l
}

// told is an event, and what its order is after it.
type told struct {
	event.Event

	State order.Order
}

// tell returns the next event.
func (l *lives) tell() (told, error) {
	l.at = l.at.Add(time.Duration(l.r.Int64N(int64(2*gap)/1000)) * time.Microsecond)
	for {
		i := l.r.IntN(len(l.open))
		one := l.open[i]
		if len(one.next) == 0 {
			command := l.choose(one)
			if command == nil {
				l.open[i] = &life{}
				continue
			}
			var err error
			if one.next, err = order.Decide(one.state, command, l.at); err != nil {
				return told{}, fmt.Errorf("order %s: %s: %w", one.id, command.Name(), err)
			}
		}
		return l.happen(one)
	}
}

// happen lets happen what is decided next.
func (l *lives) happen(one *life) (told, error) {
	if one.state.Version == 0 {
		one.id = l.newID()
	}
	data := one.next[0]
	e, err := event.New(one.id, one.state.Version+1, l.at, data)
	if err != nil {
		return told{}, err
	}
	e.ID = l.newID()
	e.Headers = map[string]string{event.HeaderActor: "bench", event.HeaderCorrelationID: one.id.String()}
	one.next, one.state = one.next[1:], order.Apply(one.state, e.Version, e.At, data)
	return told{e, one.state}, nil
}

// newID is a UUIDv7 of the last event's time.
func (l *lives) newID() (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(l.at.UnixMilli())<<16|l.r.Uint64N(1<<16))
	binary.BigEndian.PutUint64(id[8:], l.r.Uint64())
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// choose says what is to happen to an order next, nil for nothing more.
func (l *lives) choose(one *life) order.Command {
	o := one.state
	dice := l.r.IntN(100)
	switch o.Fulfilment {
	case "":
		return order.Place{CustomerID: 1 + int(l.customers.Uint64()), Service: l.service(), Lines: l.lines()}
	case order.Placed:
		return one.pay(dice)
	case order.Confirmed:
		return l.confirmed(o, dice)
	case order.Accepted:
		return order.StartPreparing{}
	case order.Preparing:
		if dice < 1 {
			return order.Cancel{By: order.Kitchen, Reason: "the oven broke"}
		}
		return order.MarkReady{}
	case order.Ready:
		if o.Service == event.Pickup {
			return order.Collect{}
		}
		return order.Dispatch{Courier: "courier-3"}
	case order.InDelivery:
		if dice < 2 {
			return order.FailDelivery{Reason: "nobody was at home"}
		}
		return order.ConfirmDelivery{}
	default:
		return after(o, dice)
	}
}

func (one *life) pay(dice int) order.Command {
	switch {
	case dice < 4 && !one.tried:
		one.tried = true
		return order.FailPayment{Reason: "the card was declined"}
	case dice < 6:
		return order.Expire{}
	default:
		return order.AuthorizePayment{}
	}
}

func (l *lives) confirmed(o order.Order, dice int) order.Command {
	switch {
	case dice < 2:
		return order.Reject{Reason: "the kitchen is too busy"}
	case dice < 6:
		return order.Cancel{By: order.Customer, Reason: "changed my mind"}
	case dice < 12 && o.Lines[0].Quantity > 1:
		lines := slices.Clone(o.Lines)
		lines[0].Quantity--
		return order.Amend{Lines: lines}
	default:
		return order.Accept{ReadyAt: l.at.Add(time.Duration(10+dice/2) * time.Minute)}
	}
}

// after is what happens to an order that has ended.
func after(o order.Order, dice int) order.Command {
	left := o.Refundable()
	switch {
	case o.OpenRefund != nil && dice < 20:
		return order.DenyRefund{Reason: "the plate came back empty"}
	case o.OpenRefund != nil:
		return order.IssueRefund{}
	case dice < 5 && left.Minor > 1:
		left.Minor /= 2
		return order.RequestRefund{Amount: left, Reason: "it was cold"}
	case o.Fulfilment != order.Completed:
		return nil
	case dice < 20 && o.Tip.Minor == 0:
		return order.AddTip{Amount: event.Money{Minor: int64(50 + dice), Currency: o.Total.Currency}}
	case dice < 40 && o.Rating == 0:
		return order.Rate{Stars: 1 + dice%5, Comment: "Good, and on time."}
	}
	return nil
}

func (l *lives) service() event.Service {
	if l.r.IntN(10) < 3 {
		return event.Pickup
	}
	return event.Delivery
}

// lines are one to five, of different items.
func (l *lives) lines() (lines []event.Line) {
	var chosen [menu]bool
	for range 1 + l.r.IntN(5) {
		item := int(l.items.Uint64())
		if chosen[item] {
			continue
		}
		chosen[item] = true
		lines = append(lines, event.Line{
			ItemID: 1 + item, Name: fmt.Sprintf("Dish of the day %d", 1+item), Quantity: 1 + l.r.IntN(3),
			UnitPrice: event.Money{Minor: int64(450 + 65*item), Currency: "EUR"},
		})
	}
	return lines
}
