package view

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Order is the state of one order, as order_summary has it.
type Order struct {
	ID         uuid.UUID
	Customer   int32
	Service    string
	Fulfilment string
	Payment    string
	Version    int64
	Total      int64 // this and the next three in minor units of Currency
	Captured   int64
	Refunded   int64
	Tip        int64
	Currency   string
	Lines      string // a JSON array of event.Line
	Rating     *int32 // stars; nil until rated
	PlacedAt   time.Time
	UpdatedAt  time.Time
}

var errNoEvents = errors.New("nothing to replay")

// Replay returns the state of an order after its first events, by what Apply goes by. The events are of one order and ascend by
// version from 1; the error says which of them does not follow (I9) or cannot be.
func Replay(events []Event) (Order, error) {
	if len(events) == 0 {
		return Order{}, errNoEvents
	}
	o := order{ID: events[0].Order}
	for i := range events {
		e := &events[i]
		if e.Version != o.Version+1 {
			return Order{}, fmt.Errorf("v%d: %w: the next one is v%d", e.Version, errHole, o.Version+1)
		}
		if err := o.check(e); err != nil {
			return Order{}, fmt.Errorf("v%d, %s: %w", e.Version, e.Type, err)
		}
		o.apply(e)
	}
	return Order{
		ID: o.ID, Customer: o.Customer, Service: o.Service, Fulfilment: o.Fulfilment, Payment: o.Payment, Version: o.Version,
		Total: o.Total, Captured: o.Captured, Refunded: o.Refunded, Tip: o.Tip, Currency: o.Currency, Lines: o.Lines,
		Rating: o.Rating, PlacedAt: o.PlacedAt, UpdatedAt: o.UpdatedAt,
	}, nil
}
