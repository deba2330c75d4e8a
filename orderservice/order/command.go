package order

import (
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Command is what somebody wants to happen to an order: one of the structs in this file. The JSON names of their fields
// are the names that RuleError uses; the tags beside them are for the API's OpenAPI document, which says of a field no more
// than its rule does.
type Command interface {
	// Name is the command's name for messages and metrics, e.g. "start_preparing".
	Name() string

	decide(o Order, now time.Time) ([]event.Data, error)
}

// Bounds of what a command may carry. They keep every sum far from overflow and every event far below the outbox's limit.
const (
	MaxLines     = 50
	MaxQuantity  = 99
	MaxUnitPrice = 1_000_000 // minor units
	MaxTip       = 1_000_000 // minor units, all tips of one order together
	MaxName      = 200       // bytes: the name of an item or a courier
	MaxText      = 1000      // bytes: a reason or a comment
)

// MaxPromise is how far ahead the kitchen may promise an order.
const MaxPromise = 24 * time.Hour

// CancelFeePercent is the share of the total, rounded down, that is kept when an order is cancelled that the kitchen has
// begun to prepare. Before that, cancelling costs nothing.
const CancelFeePercent = 50

// Place begins an order. At most one line per item; all prices in one currency.
type Place struct {
	CustomerID int           `json:"customer_id"`
	Service    event.Service `json:"service"`
	Lines      []event.Line  `json:"lines"`
}

// AuthorizePayment records that the order's total was reserved.
type AuthorizePayment struct{}

// FailPayment records that the order's total could not be reserved.
type FailPayment struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

// Accept: the kitchen takes the order and promises when it will be ready.
type Accept struct {
	ReadyAt time.Time `json:"ready_at" doc:"The promise: at most 24 hours ahead."`
}

// Reject: the kitchen does not take the order.
type Reject struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

// Amend replaces the lines. The new total must not be above what was authorized.
type Amend struct {
	Lines []event.Line `json:"lines"`
}

// MarkItemUnavailable takes the line of an item out of the order. It must not be the last one: then cancel the order.
type MarkItemUnavailable struct {
	ItemID int `json:"item_id" minimum:"1" maximum:"2147483647"`
}

// StartPreparing: the kitchen begins. From now on the lines stay as they are.
type StartPreparing struct{}

// MarkReady: the kitchen is done.
type MarkReady struct{}

// Dispatch hands a delivery order to a courier.
type Dispatch struct {
	Courier string `json:"courier" minLength:"1" maxLength:"200"`
}

// Collect: the customer of a pickup order took it at the counter.
type Collect struct{}

// ConfirmDelivery: the courier handed the order over.
type ConfirmDelivery struct{}

// FailDelivery: the courier could not hand the order over.
type FailDelivery struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

// Party is who cancels an order.
type Party string

// Who can cancel an order.
const (
	Customer Party = "customer"
	Kitchen  Party = "kitchen"
	Support  Party = "support"
)

// Cancel ends an order before it is ready; once the kitchen prepares it, customers cannot, and it costs a fee.
type Cancel struct {
	By     Party  `json:"by" enum:"customer,kitchen,support"`
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

// RequestRefund asks for captured money back.
type RequestRefund struct {
	Amount event.Money `json:"amount"`
	Reason string      `json:"reason" minLength:"1" maxLength:"1000"`
}

// IssueRefund pays the open refund, all of what was asked for.
type IssueRefund struct{}

// DenyRefund closes the open refund without paying.
type DenyRefund struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1000"`
}

// AddTip adds a tip to a completed order. There may be several.
type AddTip struct {
	Amount event.Money `json:"amount"`
}

// Rate gives a completed order 1 to 5 stars, once.
type Rate struct {
	Stars   int    `json:"stars" minimum:"1" maximum:"5"`
	Comment string `json:"comment" required:"false" maxLength:"1000"`
}

// Expire ends an order that nobody paid or accepted. When that is due is for whoever keeps the clock to say.
type Expire struct{}

// Name implements Command.
func (Place) Name() string { return "place" }

// Name implements Command.
func (AuthorizePayment) Name() string { return "authorize_payment" }

// Name implements Command.
func (FailPayment) Name() string { return "fail_payment" }

// Name implements Command.
func (Accept) Name() string { return "accept" }

// Name implements Command.
func (Reject) Name() string { return "reject" }

// Name implements Command.
func (Amend) Name() string { return "amend" }

// Name implements Command.
func (MarkItemUnavailable) Name() string { return "mark_item_unavailable" }

// Name implements Command.
func (StartPreparing) Name() string { return "start_preparing" }

// Name implements Command.
func (MarkReady) Name() string { return "mark_ready" }

// Name implements Command.
func (Dispatch) Name() string { return "dispatch" }

// Name implements Command.
func (Collect) Name() string { return "collect" }

// Name implements Command.
func (ConfirmDelivery) Name() string { return "confirm_delivery" }

// Name implements Command.
func (FailDelivery) Name() string { return "fail_delivery" }

// Name implements Command.
func (Cancel) Name() string { return "cancel" }

// Name implements Command.
func (RequestRefund) Name() string { return "request_refund" }

// Name implements Command.
func (IssueRefund) Name() string { return "issue_refund" }

// Name implements Command.
func (DenyRefund) Name() string { return "deny_refund" }

// Name implements Command.
func (AddTip) Name() string { return "add_tip" }

// Name implements Command.
func (Rate) Name() string { return "rate" }

// Name implements Command.
func (Expire) Name() string { return "expire" }
