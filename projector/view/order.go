package view

import (
	"encoding/json"
	"errors"
	"fmt"
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

// order is what the read model knows of one order: its row of order_summary, and of kitchen_board if it has one.
type order struct {
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
	Rating     *int32
	PlacedAt   time.Time
	UpdatedAt  time.Time

	OnBoard    bool // the stored kitchen_board has a row of it
	PromisedAt time.Time
	Since      time.Time
	Items      *int64 // sum of the lines' quantities; nil until needed
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

func (o *order) setLines(lines []event.Line) error {
	encoded, err := json.Marshal(lines)
	if err != nil {
		return fmt.Errorf("lines: %w", err)
	}
	o.Lines, o.Items = string(encoded), sum(lines)
	return nil
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
)

// minor returns an amount of the order's currency. Another currency is refused: sums of two currencies mean nothing.
func (o *order) minor(m event.Money) (int64, error) {
	if m.Currency != o.Currency {
		return 0, fmt.Errorf("amount in %q for an order in %q", m.Currency, o.Currency)
	}
	return m.Minor, nil
}

// fits refuses an event with a number that its column cannot hold.
func fits(d event.Data) error {
	n := 0
	switch d := d.(type) {
	case event.OrderPlaced:
		n = d.CustomerID
	case event.OrderRated:
		n = d.Stars
	}
	if n != int(int32(n)) { //nolint:gosec // the comparison is the check
		return fmt.Errorf("number %d does not fit into four bytes", n)
	}
	return nil
}

// advance sets the state to what it is after the event, but for the money. It is total: which events may follow which is
// decided where they are written, and what is in the log has happened.
func (o *order) advance(e Event) {
	o.Version, o.UpdatedAt = e.Version, micro(e.At)
	switch d := e.Data.(type) {
	case event.PaymentAuthorized:
		o.Payment, o.Fulfilment = authorized, confirmed
	case event.PaymentFailed:
		o.Payment = failed
	case event.PaymentCaptured:
		o.Payment = captured
	case event.PaymentVoided:
		o.Payment = voided
	case event.RefundIssued:
		o.Payment = partiallyRefunded
		if o.Refunded >= o.Captured {
			o.Payment = refunded
		}
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
	case event.OrderRated:
		stars := int32(d.Stars) //nolint:gosec // fits has looked
		o.Rating = &stars
	}
}
