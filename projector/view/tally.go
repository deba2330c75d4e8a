package view

import "github.com/adamkwhite/kafkafoodpipeline/internal/event"

// tally is what events come to in the sums, amounts in minor units of one currency.
type tally struct {
	orders, completed, cancelled int64 // placed; delivered or collected
	captured, refunded, tips     int64
}

// tallyOf is what an event comes to; counts is false for one that no sum is about, and true for an amount of zero.
func tallyOf(e *Event) (t tally, counts bool) {
	switch data := e.Data.(type) {
	case event.OrderPlaced:
		t.orders = 1
	case event.OrderCollected, event.OrderDelivered:
		t.completed = 1
	case event.OrderCancelled:
		t.cancelled = 1
	case event.PaymentCaptured:
		t.captured = data.Amount.Minor
	case event.RefundIssued:
		t.refunded = data.Amount.Minor
	case event.TipAdded:
		t.tips = data.Amount.Minor
	default:
		return t, false
	}
	return t, true
}

func (t *tally) add(more tally) {
	t.orders += more.orders
	t.completed += more.completed
	t.cancelled += more.cancelled
	t.captured += more.captured
	t.refunded += more.refunded
	t.tips += more.tips
}
