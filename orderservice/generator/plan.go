package generator

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// plan is what will become of one order. It looks at the order's state before each step, so that it can go on from any.
type plan struct {
	place    order.Place
	fate     fate
	cancelAt order.Fulfilment // where it is cancelled; empty for never
	amend    bool             // the customer wants less than ordered
	tip      int64            // minor units, 0 for none
	stars    int              // 0 for no rating
	refund   refund
	r        *rand.Rand // for what is decided on the way
}

// fate is what goes wrong.
type fate int

const (
	fine          fate = iota
	paidAtSecond       // the first payment fails
	unpaid             // all payments fail
	refused            // the kitchen does not take it
	soldOut            // an item is not to be had
	undeliverable      // nobody is at home
	fates
)

// refund is what comes of asking for money back.
type refund int

const (
	notAsked refund = iota
	inFull
	inPart
	denied
	refunds
)

func (g *generator) plan(r *rand.Rand) plan {
	p := plan{r: r, place: order.Place{CustomerID: g.customer(r), Service: event.Delivery, Lines: g.world.cart(r)}}
	if r.Float64() < 0.3 {
		p.place.Service = event.Pickup
	}
	if r.Float64() < g.FailureRate {
		p.fate = 1 + fate(r.IntN(int(fates)-1))
	}
	if r.Float64() < g.CancelRate {
		p.cancelAt = pick(r, order.Placed, order.Confirmed, order.Accepted, order.Preparing)
	}
	if r.Float64() < g.RefundRate {
		p.refund = 1 + refund(r.IntN(int(refunds)-1))
	}
	p.amend = r.Float64() < 0.05
	if r.Float64() < 0.2 {
		p.tip = int64(50 * (1 + r.IntN(10)))
	}
	if r.Float64() < 0.3 {
		p.stars = 5 - rank(r, 5)
	}
	return p
}

// next returns the command that moves the order on, or nil if it is finished.
func (p *plan) next(o order.Order) order.Command {
	switch {
	case o.Fulfilment.Terminal():
		return p.after(o)
	case o.Fulfilment != "" && o.Fulfilment == p.cancelAt:
		return p.cancel(o)
	}
	switch o.Fulfilment {
	case "":
		return p.place
	case order.Placed:
		return p.pay(o)
	case order.Confirmed:
		return p.confirmed(o)
	case order.Accepted:
		return order.StartPreparing{}
	case order.Preparing:
		return order.MarkReady{}
	case order.Ready:
		if o.Service == event.Pickup {
			return order.Collect{}
		}
		return order.Dispatch{Courier: pick(p.r, couriers...)}
	default: // in delivery
		if p.fate == undeliverable {
			return order.FailDelivery{Reason: pick(p.r, "nobody was at home", "the address does not exist", "the courier fell off the bicycle")}
		}
		return order.ConfirmDelivery{}
	}
}

func (p *plan) pay(o order.Order) order.Command {
	first := o.Payment == order.PaymentNone
	switch {
	case first && (p.fate == unpaid || p.fate == paidAtSecond):
		return order.FailPayment{Reason: pick(p.r, "the card was declined", "the card has expired", "insufficient funds")}
	case p.fate == unpaid:
		return order.Expire{}
	default:
		return order.AuthorizePayment{}
	}
}

func (p *plan) confirmed(o order.Order) order.Command {
	if p.fate == refused {
		return order.Reject{Reason: pick(p.r, "the kitchen is too busy", "the kitchen is closing")}
	}
	if fewer := less(o.Lines); p.amend && fewer != nil {
		p.amend = false
		return order.Amend{Lines: fewer}
	}
	if p.fate == soldOut && len(o.Lines) > 1 {
		p.fate = fine
		return order.MarkItemUnavailable{ItemID: pick(p.r, o.Lines...).ItemID}
	}
	return order.Accept{ReadyAt: time.Now().Add(time.Duration(10+p.r.IntN(40)) * time.Minute)}
}

func (p *plan) cancel(o order.Order) order.Command {
	if o.Fulfilment == order.Preparing {
		return order.Cancel{By: pick(p.r, order.Kitchen, order.Support), Reason: pick(p.r, "the oven broke", "the customer called")}
	}
	return order.Cancel{By: order.Customer, Reason: pick(p.r, "changed my mind", "ordered by mistake", "it takes too long")}
}

// after is what happens to an order that has ended.
func (p *plan) after(o order.Order) order.Command {
	if o.OpenRefund != nil {
		if p.refund == denied {
			p.refund = notAsked
			return order.DenyRefund{Reason: "the plate came back empty"}
		}
		return order.IssueRefund{}
	}
	if o.Fulfilment == order.Completed {
		if p.tip > 0 && o.Tip.Minor == 0 {
			tip := event.Money{Minor: p.tip, Currency: o.Total.Currency}
			return order.AddTip{Amount: tip}
		}
		if p.stars > 0 && o.Rating == 0 {
			return order.Rate{Stars: p.stars, Comment: comments[p.stars-1]}
		}
	}
	return p.askBack(o)
}

// askBack asks for a refund once, and returns nil if there is none to ask for.
func (p *plan) askBack(o order.Order) order.Command {
	amount := o.Refundable()
	if p.refund == notAsked || amount.Minor == 0 || o.Refunded.Minor > 0 {
		return nil
	}
	reason := pick(p.r, "it was cold", "an item was missing", "not what was ordered")
	if p.refund == inPart {
		amount.Minor = (amount.Minor + 1) / 2
	}
	return order.RequestRefund{Amount: amount, Reason: reason}
}

// less returns the lines with one portion less, or nil if there is only one.
func less(lines []event.Line) []event.Line {
	i := slices.IndexFunc(lines, func(l event.Line) bool { return l.Quantity > 1 })
	if i >= 0 {
		lines = slices.Clone(lines)
		lines[i].Quantity--
		return lines
	}
	if len(lines) > 1 {
		return lines[:len(lines)-1]
	}
	return nil
}

// What is said here is published: couriers have numbers and no names.
var (
	couriers = []string{"courier-1", "courier-2", "courier-3", "courier-4", "courier-5", "courier-6", "courier-7", "courier-8"}
	comments = []string{"Never again.", "Lukewarm at best.", "It was all right.", "Good, and on time.", "Wonderful!"}
)

func pick[T any](r *rand.Rand, of ...T) T {
	return of[r.IntN(len(of))]
}
