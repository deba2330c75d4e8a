package load

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// Mix says what the requests are about.
type Mix struct {
	Act       float64 `json:"act"`       // share of the requests that act on an order, 0 to 1; without one that is open, they place one
	Read      float64 `json:"read"`      // share of those that read one; the rest place orders
	Invalid   float64 `json:"invalid"`   // share of the commands that have a flaw
	Duplicate float64 `json:"duplicate"` // share of the sound commands that are given twice, under one idempotency key

	Customers int     `json:"customers"` // the first so many order
	Items     int     `json:"items"`     // the first so many of the menu are ordered; 0: all
	Zipf      float64 `json:"zipf"`      // exponent of the distribution of both, above 1: the higher, the more is of the first; 0: all alike
	Seed      uint64  `json:"seed"`
}

func (m Mix) check() error {
	for _, share := range []struct {
		name  string
		value float64
	}{{"act", m.Act}, {"read", m.Read}, {"invalid", m.Invalid}, {"duplicate", m.Duplicate}} {
		if !(share.value >= 0 && share.value <= 1) {
			return fmt.Errorf("--%s %v: give a share between 0 and 1", share.name, share.value)
		}
	}
	switch {
	case m.Act+m.Read > 1:
		return fmt.Errorf("--act %v and --read %v: together at most 1", m.Act, m.Read)
	case m.Customers < 1:
		return fmt.Errorf("--customers %d: give 1 or more; a new system has 100", m.Customers)
	case m.Items < 0:
		return fmt.Errorf("--items %d: give a number, or 0 for the whole menu", m.Items)
	case m.Zipf != 0 && !(m.Zipf > 1 && m.Zipf <= 10):
		return fmt.Errorf("--zipf %v: give an exponent above 1 and at most 10, or 0 for no skew", m.Zipf)
	}
	return nil
}

// drawer draws requests.
type drawer struct {
	Mix

	menu  []event.Line // with quantity 0
	flaws []Flaw
}

// drawer draws off a menu.
func (m Mix) drawer(menu []event.Line, flaws []Flaw) (*drawer, error) {
	if m.Items > len(menu) {
		return nil, fmt.Errorf("--items %d: the menu has %d", m.Items, len(menu))
	}
	if m.Items > 0 {
		menu = menu[:m.Items]
	}
	return &drawer{Mix: m, menu: menu, flaws: flaws}, nil
}

// Placements are so many sound requests of a mix that place orders.
func Placements(m Mix, menu []event.Line, n int) ([]Request, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	d, err := m.drawer(menu, nil)
	if err != nil {
		return nil, err
	}
	requests := make([]Request, n)
	for i := range requests {
		requests[i] = Request{Kind: Place, Do: d.place(rand.New(rand.NewPCG(m.Seed, uint64(i))))}
	}
	return requests, nil
}

// draw is what the n-th request is to be. Which order it acts on, the answers so far decide.
type draw struct {
	r     *rand.Rand
	kind  Kind
	flaw  Flaw
	twice bool
}

func (d *drawer) draw(n uint64) draw {
	r := rand.New(rand.NewPCG(d.Seed, n))
	w := draw{r: r, kind: Place}
	switch share := r.Float64(); {
	case share < d.Read:
		w.kind = Read
		return w
	case share < d.Read+d.Act:
		w.kind = Act
	}
	flawed, twice := r.Float64() < d.Invalid, r.Float64() < d.Duplicate
	if flawed {
		w.flaw = d.flaws[r.IntN(len(d.flaws))]
		w.kind = Place
		if w.flaw == BrokenRule {
			w.kind = Act
		}
	}
	w.twice = twice && !flawed
	return w
}

// rank returns a number below n, 0 the most often.
func (d *drawer) rank(r *rand.Rand, n int) int {
	if d.Zipf == 0 {
		return r.IntN(n)
	}
	return int(rand.NewZipf(r, d.Zipf, 1, uint64(n-1)).Uint64()) //nolint:gosec // below n
}

// place is an order of one to five lines of different items, in one currency.
func (d *drawer) place(r *rand.Rand) order.Place {
	p := order.Place{CustomerID: 1 + d.rank(r, d.Customers), Service: event.Delivery}
	if r.Float64() < 0.3 {
		p.Service = event.Pickup
	}
	chosen := make(map[int]bool)
	for range 1 + r.IntN(5) {
		l := d.menu[d.rank(r, len(d.menu))]
		l.Quantity = 1 + r.IntN(3)
		if chosen[l.ItemID] || len(p.Lines) > 0 && l.UnitPrice.Currency != p.Lines[0].UnitPrice.Currency {
			continue
		}
		chosen[l.ItemID] = true
		p.Lines = append(p.Lines, l)
	}
	return p
}

// next is the command that moves an order on, or nil when its life is over. Most orders are paid, made and handed over.
func next(r *rand.Rand, o order.Order) order.Command {
	switch o.Fulfilment {
	case order.Placed:
		if r.Float64() < 0.05 {
			return order.Cancel{By: order.Customer, Reason: "changed my mind"}
		}
		return order.AuthorizePayment{}
	case order.Confirmed:
		if r.Float64() < 0.05 {
			return order.Reject{Reason: "the kitchen is too busy"}
		}
		return order.Accept{ReadyAt: time.Now().Add(30 * time.Minute).UTC().Truncate(time.Second)}
	case order.Accepted:
		return order.StartPreparing{}
	case order.Preparing:
		return order.MarkReady{}
	case order.Ready:
		if o.Service == event.Pickup {
			return order.Collect{}
		}
		return order.Dispatch{Courier: "Chidi"}
	case order.InDelivery:
		return order.ConfirmDelivery{}
	case order.Completed:
		if o.Rating == 0 {
			return order.Rate{Stars: 1 + r.IntN(5), Comment: "as ordered"}
		}
	default: // it has ended otherwise
	}
	return nil
}

// forbidden is a command that the order's state does not allow.
func forbidden(o order.Order) order.Command {
	if o.Fulfilment == order.InDelivery {
		return order.StartPreparing{}
	}
	return order.ConfirmDelivery{}
}
