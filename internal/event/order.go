package event

import "time"

// The tags named jsonschema are what the domain holds every value to, and will for ever: they are in the schemas of
// docs/contracts, as are the comments. A text's length is counted in characters there and in bytes by the domain, which allows no
// more characters than bytes.

// The types of event in the life of an order. See the payload struct of each for what it means.
const (
	TypeOrderPlaced        Type = "order.placed.v1"
	TypePaymentAuthorized  Type = "payment.authorized.v1"
	TypePaymentFailed      Type = "payment.failed.v1"
	TypePaymentCaptured    Type = "payment.captured.v1"
	TypePaymentVoided      Type = "payment.voided.v1"
	TypeOrderAccepted      Type = "order.accepted.v1"
	TypeOrderRejected      Type = "order.rejected.v1"
	TypeOrderLinesChanged  Type = "order.lines_changed.v1"
	TypePreparationStarted Type = "order.preparation_started.v1"
	TypeOrderReady         Type = "order.ready.v1"
	TypeOrderDispatched    Type = "order.dispatched.v1"
	TypeOrderCollected     Type = "order.collected.v1"
	TypeOrderDelivered     Type = "order.delivered.v1"
	TypeDeliveryFailed     Type = "order.delivery_failed.v1"
	TypeOrderCancelled     Type = "order.cancelled.v1"
	TypeOrderExpired       Type = "order.expired.v1"
	TypeRefundRequested    Type = "refund.requested.v1"
	TypeRefundIssued       Type = "refund.issued.v1"
	TypeRefundDenied       Type = "refund.denied.v1"
	TypeTipAdded           Type = "order.tip_added.v1"
	TypeOrderRated         Type = "order.rated.v1"
)

// Money is an amount in the minor unit of a currency (cents for EUR): exact, never a float.
type Money struct {
	Minor    int64  `json:"minor" jsonschema:"minimum=0,maximum=9007199254740991"` // exact as a double, too
	Currency string `json:"currency" jsonschema:"pattern=^[A-Z]{3}$"`              // ISO 4217, three letters
}

// Line is one position of an order. The price is frozen when the line is written; the menu is never asked again.
type Line struct {
	ItemID    int    `json:"item_id" jsonschema:"minimum=1"` // one line for each item
	Name      string `json:"name" jsonschema:"minLength=1,maxLength=200"`
	Quantity  int    `json:"quantity" jsonschema:"minimum=1,maximum=99"`
	UnitPrice Money  `json:"unit_price"`
}

// Service is how an order reaches its customer.
type Service string

// The ways in which an order reaches its customer.
const (
	Delivery Service = "delivery" // dispatched with a courier
	Pickup   Service = "pickup"   // collected at the counter
)

// OrderPlaced begins an order: fulfilment placed, payment none.
type OrderPlaced struct {
	CustomerID int     `json:"customer_id" jsonschema:"minimum=1"`
	Service    Service `json:"service" jsonschema:"enum=delivery,enum=pickup"`
	Lines      []Line  `json:"lines" jsonschema:"minItems=1,maxItems=50"`
	Total      Money   `json:"total"` // the sum of the lines
}

// PaymentAuthorized reserves the order's total: payment authorized, fulfilment confirmed.
type PaymentAuthorized struct {
	Amount Money `json:"amount"`
}

// PaymentFailed means that no money could be reserved: payment failed. Another authorization may follow.
type PaymentFailed struct {
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// PaymentCaptured takes Amount of what was authorized: payment captured. What is not captured is released.
type PaymentCaptured struct {
	Amount Money `json:"amount"`
}

// PaymentVoided releases all of what was authorized: payment voided.
type PaymentVoided struct{}

// OrderAccepted means that the kitchen takes the order: fulfilment accepted.
type OrderAccepted struct {
	ReadyAt time.Time `json:"ready_at"` // the kitchen's promise
}

// OrderRejected means that the kitchen does not take the order: fulfilment rejected, which is final.
type OrderRejected struct {
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// OrderLinesChanged replaces the lines, before the kitchen begins, as the customer wants less or an item is unavailable.
type OrderLinesChanged struct {
	Lines    []Line `json:"lines" jsonschema:"minItems=1,maxItems=50"`
	OldTotal Money  `json:"old_total"`
	Total    Money  `json:"total"`
	Removed  *int   `json:"removed_item_id,omitempty" jsonschema:"minimum=1"` // the item that was unavailable; absent for an amendment
}

// PreparationStarted: fulfilment preparing.
type PreparationStarted struct{}

// OrderReady: fulfilment ready.
type OrderReady struct{}

// OrderDispatched means that a courier has the order: fulfilment in delivery.
type OrderDispatched struct {
	Courier string `json:"courier" jsonschema:"minLength=1,maxLength=200"`
}

// OrderCollected means that the customer took the order at the counter: fulfilment completed, which is final.
type OrderCollected struct{}

// OrderDelivered: fulfilment completed, which is final.
type OrderDelivered struct{}

// DeliveryFailed means that the courier could not hand the order over: fulfilment delivery failed, which is final.
type DeliveryFailed struct {
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// OrderCancelled ends an order before it was delivered: fulfilment cancelled, which is final.
type OrderCancelled struct {
	By     string `json:"by" jsonschema:"enum=customer,enum=kitchen,enum=support"`
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
	Fee    Money  `json:"fee"` // what the customer owes for it; zero for none
}

// OrderExpired ends an order that nobody paid or accepted in time: fulfilment expired, which is final.
type OrderExpired struct{}

// RefundRequested opens a refund of Amount. At most one is open at a time; fulfilment is never changed by refunds.
type RefundRequested struct {
	Amount Money  `json:"amount"`
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// RefundIssued pays Amount back and closes the open refund: payment partially refunded, or refunded when all of the
// captured money has gone back.
type RefundIssued struct {
	Amount Money `json:"amount"`
}

// RefundDenied closes the open refund without paying.
type RefundDenied struct {
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// TipAdded adds a tip, which is paid apart from the order's total, to a completed order.
type TipAdded struct {
	Amount Money `json:"amount"`
}

// OrderRated records the customer's rating of a completed order, 1 to 5 stars.
type OrderRated struct {
	Stars   int    `json:"stars" jsonschema:"minimum=1,maximum=5"`
	Comment string `json:"comment,omitempty" jsonschema:"minLength=1,maxLength=1000"`
}

// Type implements Data.
func (OrderPlaced) Type() Type { return TypeOrderPlaced }

// Type implements Data.
func (PaymentAuthorized) Type() Type { return TypePaymentAuthorized }

// Type implements Data.
func (PaymentFailed) Type() Type { return TypePaymentFailed }

// Type implements Data.
func (PaymentCaptured) Type() Type { return TypePaymentCaptured }

// Type implements Data.
func (PaymentVoided) Type() Type { return TypePaymentVoided }

// Type implements Data.
func (OrderAccepted) Type() Type { return TypeOrderAccepted }

// Type implements Data.
func (OrderRejected) Type() Type { return TypeOrderRejected }

// Type implements Data.
func (OrderLinesChanged) Type() Type { return TypeOrderLinesChanged }

// Type implements Data.
func (PreparationStarted) Type() Type { return TypePreparationStarted }

// Type implements Data.
func (OrderReady) Type() Type { return TypeOrderReady }

// Type implements Data.
func (OrderDispatched) Type() Type { return TypeOrderDispatched }

// Type implements Data.
func (OrderCollected) Type() Type { return TypeOrderCollected }

// Type implements Data.
func (OrderDelivered) Type() Type { return TypeOrderDelivered }

// Type implements Data.
func (DeliveryFailed) Type() Type { return TypeDeliveryFailed }

// Type implements Data.
func (OrderCancelled) Type() Type { return TypeOrderCancelled }

// Type implements Data.
func (OrderExpired) Type() Type { return TypeOrderExpired }

// Type implements Data.
func (RefundRequested) Type() Type { return TypeRefundRequested }

// Type implements Data.
func (RefundIssued) Type() Type { return TypeRefundIssued }

// Type implements Data.
func (RefundDenied) Type() Type { return TypeRefundDenied }

// Type implements Data.
func (TipAdded) Type() Type { return TypeTipAdded }

// Type implements Data.
func (OrderRated) Type() Type { return TypeOrderRated }

// types are the names of the decoders, to have each once.
var types = func() map[string]Type {
	m := make(map[string]Type, len(decoders))
	for t := range decoders {
		m[string(t)] = t
	}
	return m
}()

// decoders has one entry for each type, in each version, that may be in an outbox or a topic. None is ever removed.
var decoders = map[Type]decoder{
	TypeOrderPlaced:        decode[OrderPlaced],
	TypePaymentAuthorized:  decode[PaymentAuthorized],
	TypePaymentFailed:      decode[PaymentFailed],
	TypePaymentCaptured:    decode[PaymentCaptured],
	TypePaymentVoided:      decode[PaymentVoided],
	TypeOrderAccepted:      decode[OrderAccepted],
	TypeOrderRejected:      decode[OrderRejected],
	TypeOrderLinesChanged:  decode[OrderLinesChanged],
	TypePreparationStarted: decode[PreparationStarted],
	TypeOrderReady:         decode[OrderReady],
	TypeOrderDispatched:    decode[OrderDispatched],
	TypeOrderCollected:     decode[OrderCollected],
	TypeOrderDelivered:     decode[OrderDelivered],
	TypeDeliveryFailed:     decode[DeliveryFailed],
	TypeOrderCancelled:     decode[OrderCancelled],
	TypeOrderExpired:       decode[OrderExpired],
	TypeRefundRequested:    decode[RefundRequested],
	TypeRefundIssued:       decode[RefundIssued],
	TypeRefundDenied:       decode[RefundDenied],
	TypeTipAdded:           decode[TipAdded],
	TypeOrderRated:         decode[OrderRated],
	TypeCustomerErased:     decode[CustomerErased],
}
