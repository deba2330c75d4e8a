package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// The states of the two axes of an order, as the read model names them.
const (
	placed         = "placed"
	confirmed      = "confirmed"
	accepted       = "accepted"
	preparing      = "preparing"
	ready          = "ready"
	inDelivery     = "in_delivery"
	completed      = "completed"
	rejected       = "rejected"
	cancelled      = "cancelled"
	deliveryFailed = "delivery_failed"
	expired        = "expired"

	none              = "none"
	authorized        = "authorized"
	captured          = "captured"
	voided            = "voided"
	partiallyRefunded = "partially_refunded"
	refunded          = "refunded"
	failed            = "failed"
)

// Order is the state of one order, as order_summary has it.
type Order struct {
	ID         uuid.UUID
	Customer   int32
	Service    string
	Fulfilment string
	Payment    string
	Version    int64 // 0: no event of it has been applied
	Total      int64 // this and the next three in minor units of Currency
	Captured   int64
	Refunded   int64
	Tip        int64
	Currency   string
	Lines      string // a JSON array of event.Line, as stored
	Rating     *int32 // stars; nil until rated
	PlacedAt   time.Time
	UpdatedAt  time.Time
}

// order is what the read model knows of one order: its row of order_summary, and of kitchen_board if it has one.
type order struct {
	Order

	OnBoard    bool // the stored kitchen_board has a row of it
	PromisedAt time.Time
	Since      time.Time
	Items      *int64 // sum of the lines' quantities; nil until needed

	stored  bool // the database has a row of it
	touched bool // an event of the batch was applied to it
	noOrder bool // it is a customer, of whom the timeline has the events and no other table anything: only the version is known
}

// inKitchen reports whether the order belongs on the kitchen's board.
func (o *order) inKitchen() bool {
	return o.Fulfilment == accepted || o.Fulfilment == preparing || o.Fulfilment == ready
}

// lines decodes what setLines has encoded.
func (o *order) lines() (lines []event.Line, err error) {
	if err := json.Unmarshal([]byte(o.Lines), &lines); err != nil {
		return nil, fmt.Errorf("order %s: %w: lines: %w", o.ID, errStored, err)
	}
	return lines, nil
}

func (o *order) setLines(lines []event.Line) {
	encoded, _ := json.Marshal(lines) //nolint:errchkjson // numbers and strings always can be
	o.Lines, o.Items = string(encoded), sum(lines)
}

// items is the sum of the lines' quantities.
func (o *order) items() (int64, error) {
	if o.Items == nil {
		lines, err := o.lines()
		if err != nil {
			return 0, err
		}
		o.Items = sum(lines)
	}
	return *o.Items, nil
}

func sum(lines []event.Line) *int64 {
	n := int64(0)
	for _, l := range lines {
		n += int64(l.Quantity)
	}
	return &n
}

var (
	errStored      = errors.New("a row is not as the projector writes it")
	errNotPlaced   = errors.New("the order's first event is not order.placed")
	errPlacedAgain = errors.New("an order is placed once only")
	errMixed       = errors.New("events of an order and of a customer have one key")
	errCurrency    = errors.New("currencies have three letters, and an order has one of them")
	errRange       = errors.New("out of the range of a column")
)

// check refuses an event that no state of the order can take: after it, apply cannot fail. What is in the log has happened, so it
// does not ask whether the event could follow on the one before; sums of two currencies mean nothing, though, and a column has
// bounds.
func (o *order) check(e *Event) error {
	d, first := e.Data.(event.OrderPlaced)
	_, erased := e.Data.(event.CustomerErased)
	switch {
	case o.Version > 0 && erased != o.noOrder:
		return errMixed
	case erased:
		return nil
	case first && o.Version > 0:
		return errPlacedAgain
	case first:
		if len(d.Total.Currency) != 3 || strings.ContainsRune(d.Total.Currency+string(d.Service), 0) {
			return fmt.Errorf("%w: %q", errCurrency, d.Total.Currency)
		}
		return errors.Join(fits(d.CustomerID), checkAmount(d.Total, d.Total.Currency), checkLines(d.Total.Currency, d.Lines))
	case o.Version == 0:
		return errNotPlaced
	}
	switch d := e.Data.(type) {
	case event.PaymentCaptured:
		return checkAmount(d.Amount, o.Currency)
	case event.RefundIssued:
		return checkAmount(d.Amount, o.Currency)
	case event.TipAdded:
		return checkAmount(d.Amount, o.Currency)
	case event.OrderLinesChanged:
		return errors.Join(checkAmount(d.Total, o.Currency), checkLines(o.Currency, d.Lines))
	case event.OrderRated:
		return fits(d.Stars)
	}
	return nil
}

// most is the largest amount of an event, in minor units: so many times what an order can cost that it is a mistake, and so little that
// a batch of them cannot overflow a sum here. One that overflows in the database is refused there.
const most = 1_000_000_000_000

func checkAmount(m event.Money, currency string) error {
	if m.Currency != currency {
		return fmt.Errorf("%w: %q for an order in %q", errCurrency, m.Currency, currency)
	}
	if m.Minor < -most || m.Minor > most {
		return fmt.Errorf("amount %d: %w", m.Minor, errRange)
	}
	return nil
}

func checkLines(currency string, lines []event.Line) error {
	sum := int64(0)
	for _, l := range lines {
		if err := errors.Join(checkAmount(l.UnitPrice, currency), fits(l.ItemID)); err != nil {
			return err
		}
		if l.Quantity < 0 || l.Quantity > 1_000_000 {
			return fmt.Errorf("quantity %d: %w", l.Quantity, errRange)
		}
		if sum += int64(l.Quantity) * l.UnitPrice.Minor; sum < -most || sum > most { // at most a million times most
			return fmt.Errorf("lines of %d: %w", sum, errRange)
		}
	}
	return nil
}

// fits refuses a number that an integer column cannot hold.
func fits(n int) error {
	if n != int(int32(n)) { //nolint:gosec // the comparison is the check
		return fmt.Errorf("number %d: %w", n, errRange)
	}
	return nil
}

// apply sets the state to what it is after the event, which check has passed.
func (o *order) apply(e *Event) {
	o.Version, o.UpdatedAt = e.Version, micro(e.At)
	switch d := e.Data.(type) {
	case event.OrderPlaced:
		o.Customer, o.Service = int32(d.CustomerID), string(d.Service) //nolint:gosec // check has looked
		o.Fulfilment, o.Payment = placed, none
		o.Total, o.Currency, o.PlacedAt = d.Total.Minor, d.Total.Currency, o.UpdatedAt
		o.setLines(d.Lines)
	case event.OrderLinesChanged:
		o.Total = d.Total.Minor
		o.setLines(d.Lines)
	case event.OrderRated:
		stars := int32(d.Stars) //nolint:gosec // check has looked
		o.Rating = &stars
	case event.CustomerErased:
		o.noOrder = true
	default:
		o.pay(e.Data)
		o.fulfil(e.Data)
	}
}

// pay sets the state of the payment.
func (o *order) pay(data event.Data) {
	switch d := data.(type) {
	case event.PaymentAuthorized:
		o.Payment = authorized
	case event.PaymentFailed:
		o.Payment = failed
	case event.PaymentCaptured:
		o.Payment = captured
		o.Captured += d.Amount.Minor
	case event.PaymentVoided:
		o.Payment = voided
	case event.RefundIssued:
		o.Refunded += d.Amount.Minor
		o.Payment = partiallyRefunded
		if o.Refunded >= o.Captured {
			o.Payment = refunded
		}
	case event.TipAdded:
		o.Tip += d.Amount.Minor
	}
}

// fulfil sets the state of the fulfilment.
func (o *order) fulfil(data event.Data) {
	switch d := data.(type) {
	case event.PaymentAuthorized:
		o.Fulfilment = confirmed
	case event.OrderAccepted:
		o.Fulfilment, o.PromisedAt, o.Since = accepted, micro(d.ReadyAt), o.UpdatedAt
	case event.PreparationStarted:
		o.Fulfilment, o.Since = preparing, o.UpdatedAt
	case event.OrderReady:
		o.Fulfilment, o.Since = ready, o.UpdatedAt
	case event.OrderDispatched:
		o.Fulfilment = inDelivery
	case event.OrderCollected, event.OrderDelivered:
		o.Fulfilment = completed
	case event.OrderRejected:
		o.Fulfilment = rejected
	case event.OrderCancelled:
		o.Fulfilment = cancelled
	case event.DeliveryFailed:
		o.Fulfilment = deliveryFailed
	case event.OrderExpired:
		o.Fulfilment = expired
	}
}
