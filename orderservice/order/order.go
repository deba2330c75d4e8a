package order

import (
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Order is the state of one order: the fold of its events. The zero value is an order that was not placed yet.
//
// It is a value: Apply returns a new one, and nothing writes to its slices.
type Order struct {
	CustomerID int           `json:"customer_id"`
	Service    event.Service `json:"service" enum:"delivery,pickup"`
	Fulfilment Fulfilment    `json:"fulfilment" enum:"placed,confirmed,accepted,preparing,ready,in_delivery,completed,rejected,cancelled,delivery_failed,expired"`
	Payment    Payment       `json:"payment" enum:"none,authorized,captured,voided,partially_refunded,refunded,failed"`

	// Version is the number of events so far, 0 before the order was placed (I2).
	Version int64 `json:"version"`

	// Total is the sum of Lines. All amounts have its currency.
	Lines []event.Line `json:"lines"`
	Total event.Money  `json:"total"`

	// Authorized is what is or was reserved: Total when it was authorized. Total <= Authorized from then on.
	Authorized event.Money `json:"authorized"`

	// Refunded + *OpenRefund <= Captured <= Authorized.
	Captured   event.Money  `json:"captured"`
	Refunded   event.Money  `json:"refunded"`
	OpenRefund *event.Money `json:"open_refund,omitempty"` // requested and not answered yet; nil when there is none

	Tip    event.Money `json:"tip"`              // sum of the tips, paid apart from Total
	Rating int         `json:"rating,omitempty"` // 1 to 5 stars, 0 before it was rated

	ReadyAt   *time.Time `json:"ready_at,omitempty"` // the kitchen's promise; nil before the order was accepted
	PlacedAt  time.Time  `json:"placed_at"`
	UpdatedAt time.Time  `json:"updated_at"` // time of the last event
}

// Fulfilment is how far an order is on its way to the customer.
type Fulfilment string

// The states of fulfilment. Doc.go has the table of what leads from one to another.
const (
	Placed         Fulfilment = "placed"
	Confirmed      Fulfilment = "confirmed"
	Accepted       Fulfilment = "accepted"
	Preparing      Fulfilment = "preparing"
	Ready          Fulfilment = "ready"
	InDelivery     Fulfilment = "in_delivery"
	Completed      Fulfilment = "completed"
	Rejected       Fulfilment = "rejected"
	Cancelled      Fulfilment = "cancelled"
	DeliveryFailed Fulfilment = "delivery_failed"
	Expired        Fulfilment = "expired"
)

// Terminal reports whether the state is final. The payment of such an order may still change, its fulfilment never.
func (f Fulfilment) Terminal() bool {
	switch f {
	case Completed, Rejected, Cancelled, DeliveryFailed, Expired:
		return true
	default:
		return false
	}
}

// Payment is what has become of the order's money.
type Payment string

// The states of payment.
const (
	PaymentNone              Payment = "none"
	PaymentAuthorized        Payment = "authorized"
	PaymentCaptured          Payment = "captured"
	PaymentVoided            Payment = "voided"
	PaymentPartiallyRefunded Payment = "partially_refunded"
	PaymentRefunded          Payment = "refunded"
	PaymentFailed            Payment = "failed"
)

// Refundable is what a new refund may ask for at most: what was captured and neither went back nor is asked for.
func (o Order) Refundable() event.Money {
	left := o.Captured.Minor - o.Refunded.Minor
	if o.OpenRefund != nil {
		left -= o.OpenRefund.Minor
	}
	return o.money(left)
}

// money is an amount in the order's currency.
func (o Order) money(minor int64) event.Money {
	return event.Money{Minor: minor, Currency: o.Total.Currency}
}
