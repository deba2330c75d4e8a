package order

import (
	"slices"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Decide returns what happens to the order when it is given the command at a time, at least one event, or a *RuleError.
// The events belong together: all of them are applied and stored, or none. It is a function of its arguments alone.
func Decide(o Order, cmd Command, now time.Time) ([]event.Data, error) {
	_, placing := cmd.(Place)
	switch {
	case placing && o.Version > 0:
		return nil, broken(RuleAlreadyPlaced, "the order was placed already")
	case !placing && o.Version == 0:
		return nil, broken(RuleNotPlaced, "the order was not placed yet")
	default:
		return cmd.decide(o, now)
	}
}

func (c Place) decide(_ Order, _ time.Time) ([]event.Data, error) {
	if c.CustomerID < 1 {
		return nil, refused("customer_id", RuleRequired, "say whose order it is")
	}
	if c.Service != event.Delivery && c.Service != event.Pickup {
		return nil, refused("service", RuleChoice, "%q is neither %q nor %q", c.Service, event.Delivery, event.Pickup)
	}
	if err := checkLines(c.Lines); err != nil {
		return nil, err
	}
	return one(event.OrderPlaced{CustomerID: c.CustomerID, Service: c.Service, Lines: c.Lines, Total: sum(c.Lines)})
}

func (AuthorizePayment) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("paid", Placed); err != nil {
		return nil, err
	}
	return one(event.PaymentAuthorized{Amount: o.Total})
}

func (c FailPayment) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("paid", Placed); err != nil {
		return nil, err
	}
	if err := checkText("reason", c.Reason, MaxText); err != nil {
		return nil, err
	}
	return one(event.PaymentFailed{Reason: c.Reason})
}

func (c Accept) decide(o Order, now time.Time) ([]event.Data, error) {
	if err := o.in("accepted", Confirmed); err != nil {
		return nil, err
	}
	switch {
	case c.ReadyAt.IsZero():
		return nil, refused("ready_at", RuleRequired, "say when the order will be ready")
	case c.ReadyAt.Before(now):
		return nil, refused("ready_at", RuleRange, "%s is in the past", c.ReadyAt.Format(time.RFC3339))
	case c.ReadyAt.After(now.Add(MaxPromise)):
		return nil, refused("ready_at", RuleRange, "at most %s from now", MaxPromise)
	}
	return one(event.OrderAccepted{ReadyAt: c.ReadyAt.UTC().Truncate(time.Microsecond)})
}

func (c Reject) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("rejected", Confirmed); err != nil {
		return nil, err
	}
	if err := checkText("reason", c.Reason, MaxText); err != nil {
		return nil, err
	}
	return o.release(event.OrderRejected{Reason: c.Reason}), nil
}

func (c Amend) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("amended", Confirmed, Accepted); err != nil {
		return nil, err
	}
	if err := checkLines(c.Lines); err != nil {
		return nil, err
	}
	total := sum(c.Lines)
	switch {
	case total.Currency != o.Total.Currency:
		return nil, refused("lines", RuleCurrency, "the order is in %s, not %s", o.Total.Currency, total.Currency)
	case total.Minor > o.Authorized.Minor:
		return nil, refused("lines", RuleAuthorized, "the new total of %d is above the %d that were authorized; place another order", total.Minor, o.Authorized.Minor)
	case slices.Equal(c.Lines, o.Lines):
		return nil, broken(RuleNothingChanged, "the order has these lines already")
	}
	return one(event.OrderLinesChanged{Lines: c.Lines, OldTotal: o.Total, Total: total})
}

func (c MarkItemUnavailable) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("amended", Confirmed, Accepted); err != nil {
		return nil, err
	}
	left := slices.DeleteFunc(slices.Clone(o.Lines), func(l event.Line) bool { return l.ItemID == c.ItemID })
	switch len(left) {
	case len(o.Lines):
		return nil, refused("item_id", RuleNotOrdered, "the order has no line of item %d", c.ItemID)
	case 0:
		return nil, broken(RuleLastLine, "nothing else was ordered; cancel or reject the order")
	}
	return one(event.OrderLinesChanged{Lines: left, OldTotal: o.Total, Total: sum(left), Removed: &c.ItemID})
}

func (StartPreparing) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("prepared", Accepted); err != nil {
		return nil, err
	}
	return one(event.PreparationStarted{})
}

func (MarkReady) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("made ready", Preparing); err != nil {
		return nil, err
	}
	return one(event.OrderReady{})
}

func (c Dispatch) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("dispatched", Ready); err != nil {
		return nil, err
	}
	if o.Service != event.Delivery {
		return nil, broken(RuleService, "a %s order is collected, not dispatched", o.Service)
	}
	if err := checkText("courier", c.Courier, MaxName); err != nil {
		return nil, err
	}
	return one(event.OrderDispatched{Courier: c.Courier})
}

func (Collect) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("collected", Ready); err != nil {
		return nil, err
	}
	if o.Service != event.Pickup {
		return nil, broken(RuleService, "a %s order is dispatched, not collected", o.Service)
	}
	return []event.Data{event.OrderCollected{}, event.PaymentCaptured{Amount: o.Total}}, nil
}

func (ConfirmDelivery) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("delivered", InDelivery); err != nil {
		return nil, err
	}
	return []event.Data{event.OrderDelivered{}, event.PaymentCaptured{Amount: o.Total}}, nil
}

func (c FailDelivery) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("failed to be delivered", InDelivery); err != nil {
		return nil, err
	}
	if err := checkText("reason", c.Reason, MaxText); err != nil {
		return nil, err
	}
	return []event.Data{event.DeliveryFailed{Reason: c.Reason}, event.PaymentCaptured{Amount: o.Total}}, nil
}

func (c Cancel) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("cancelled", Placed, Confirmed, Accepted, Preparing); err != nil {
		return nil, err
	}
	if c.By != Customer && c.By != Kitchen && c.By != Support {
		return nil, refused("by", RuleChoice, "%q is none of %q, %q and %q", c.By, Customer, Kitchen, Support)
	}
	if err := checkText("reason", c.Reason, MaxText); err != nil {
		return nil, err
	}
	if o.Fulfilment == Preparing && c.By == Customer {
		return nil, broken(RuleCancelParty, "the kitchen has begun: only the kitchen or support can cancel the order now")
	}
	fee := o.cancelFee()
	cancelled := event.OrderCancelled{By: string(c.By), Reason: c.Reason, Fee: fee}
	if fee.Minor > 0 {
		return []event.Data{cancelled, event.PaymentCaptured{Amount: fee}}, nil
	}
	return o.release(cancelled), nil
}

func (c RequestRefund) decide(o Order, _ time.Time) ([]event.Data, error) {
	if !o.Fulfilment.Terminal() {
		return nil, broken(RuleState, "the order is %s: cancel it, or wait until it has ended", o.Fulfilment)
	}
	if o.OpenRefund != nil {
		return nil, broken(RuleOneOpenRefund, "a refund of %d is open: issue or deny it first", o.OpenRefund.Minor)
	}
	left := o.Refundable()
	if left.Minor == 0 {
		return nil, broken(RuleNothingToRefund, "no captured money is left")
	}
	if err := o.checkAmount("amount", c.Amount); err != nil {
		return nil, err
	}
	if c.Amount.Minor > left.Minor {
		return nil, refused("amount.minor", RuleRefundable, "at most %d can be refunded", left.Minor)
	}
	if err := checkText("reason", c.Reason, MaxText); err != nil {
		return nil, err
	}
	return one(event.RefundRequested{Amount: c.Amount, Reason: c.Reason})
}

func (IssueRefund) decide(o Order, _ time.Time) ([]event.Data, error) {
	if o.OpenRefund == nil {
		return nil, broken(RuleNoOpenRefund, "no refund is open")
	}
	return one(event.RefundIssued{Amount: *o.OpenRefund})
}

func (c DenyRefund) decide(o Order, _ time.Time) ([]event.Data, error) {
	if o.OpenRefund == nil {
		return nil, broken(RuleNoOpenRefund, "no refund is open")
	}
	if err := checkText("reason", c.Reason, MaxText); err != nil {
		return nil, err
	}
	return one(event.RefundDenied{Reason: c.Reason})
}

func (c AddTip) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("tipped", Completed); err != nil {
		return nil, err
	}
	if err := o.checkAmount("amount", c.Amount); err != nil {
		return nil, err
	}
	if c.Amount.Minor > MaxTip-o.Tip.Minor {
		return nil, refused("amount.minor", RuleRange, "all tips together are at most %d, and %d were given", MaxTip, o.Tip.Minor)
	}
	return one(event.TipAdded{Amount: c.Amount})
}

func (c Rate) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("rated", Completed); err != nil {
		return nil, err
	}
	if o.Rating != 0 {
		return nil, broken(RuleRatedOnce, "the order was rated already")
	}
	if c.Stars < 1 || c.Stars > 5 {
		return nil, refused("stars", RuleRange, "1 to 5, not %d", c.Stars)
	}
	if c.Comment != "" {
		if err := checkText("comment", c.Comment, MaxText); err != nil {
			return nil, err
		}
	}
	return one(event.OrderRated{Stars: c.Stars, Comment: c.Comment})
}

func (Expire) decide(o Order, _ time.Time) ([]event.Data, error) {
	if err := o.in("expired", Placed, Confirmed); err != nil {
		return nil, err
	}
	return o.release(event.OrderExpired{}), nil
}

// one is the decision of a command that makes a single event.
func one(d event.Data) ([]event.Data, error) {
	return []event.Data{d}, nil
}

// release ends an order that costs nothing: what was authorized, if anything, is voided.
func (o Order) release(end event.Data) []event.Data {
	if o.Payment != PaymentAuthorized {
		return []event.Data{end}
	}
	return []event.Data{end, event.PaymentVoided{}}
}

// cancelFee is what cancelling costs now. An order that is being prepared has always been authorized.
func (o Order) cancelFee() event.Money {
	if o.Fulfilment != Preparing {
		return o.money(0)
	}
	return o.money(o.Total.Minor * CancelFeePercent / 100)
}

// in refuses a command unless the fulfilment is one of the states in which it is allowed.
func (o Order) in(done string, states ...Fulfilment) error {
	if slices.Contains(states, o.Fulfilment) {
		return nil
	}
	return broken(RuleState, "an order that is %s cannot be %s", o.Fulfilment, done)
}
