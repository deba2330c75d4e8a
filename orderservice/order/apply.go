package order

import (
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Apply returns the order after an event happened to it. It takes the event as a fact and checks no rule: Decide did that
// before the event was written, perhaps under older rules.
//
// It panics if data is of a type that this package does not know, or version does not follow the order's: the caller
// must have read the events of one order without a hole (I2).
func Apply(o Order, version int64, at time.Time, data event.Data) Order {
	if version != o.Version+1 {
		panic(fmt.Sprintf("order: event %d applied to an order at version %d", version, o.Version))
	}
	o.Version, o.UpdatedAt = version, at
	switch d := data.(type) {
	case event.OrderPlaced:
		return o.place(d, at)
	case event.OrderAccepted:
		o.Fulfilment, o.ReadyAt = Accepted, &d.ReadyAt
	case event.OrderRejected:
		o.Fulfilment = Rejected
	case event.OrderLinesChanged:
		o.Lines, o.Total = d.Lines, d.Total
	case event.PreparationStarted:
		o.Fulfilment = Preparing
	case event.OrderReady:
		o.Fulfilment = Ready
	case event.OrderDispatched:
		o.Fulfilment = InDelivery
	case event.OrderCollected, event.OrderDelivered:
		o.Fulfilment = Completed
	case event.DeliveryFailed:
		o.Fulfilment = DeliveryFailed
	case event.OrderCancelled:
		o.Fulfilment = Cancelled
	case event.OrderExpired:
		o.Fulfilment = Expired
	case event.TipAdded:
		o.Tip.Minor += d.Amount.Minor
	case event.OrderRated:
		o.Rating = d.Stars
	default:
		return o.pay(data)
	}
	return o
}

func (o Order) place(d event.OrderPlaced, at time.Time) Order {
	o.CustomerID, o.Service, o.Lines, o.Total = d.CustomerID, d.Service, d.Lines, d.Total
	o.Fulfilment, o.Payment = Placed, PaymentNone
	o.Authorized, o.Captured, o.Refunded, o.Tip = o.money(0), o.money(0), o.money(0), o.money(0)
	o.PlacedAt = at
	return o
}

// pay applies the events of the payment axis.
func (o Order) pay(data event.Data) Order {
	switch d := data.(type) {
	case event.PaymentAuthorized:
		o.Fulfilment, o.Payment, o.Authorized = Confirmed, PaymentAuthorized, d.Amount
	case event.PaymentFailed:
		o.Payment = PaymentFailed
	case event.PaymentCaptured:
		o.Payment, o.Captured = PaymentCaptured, d.Amount
	case event.PaymentVoided:
		o.Payment = PaymentVoided
	case event.RefundRequested:
		o.OpenRefund = &d.Amount
	case event.RefundIssued:
		o.Refunded.Minor += d.Amount.Minor
		o.OpenRefund = nil
		o.Payment = PaymentPartiallyRefunded
		if o.Refunded == o.Captured {
			o.Payment = PaymentRefunded
		}
	case event.RefundDenied:
		o.OpenRefund = nil
	default:
		panic(fmt.Sprintf("order: no transition for %T", data))
	}
	return o
}
