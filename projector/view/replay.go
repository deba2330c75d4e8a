package view

import (
	"errors"
	"fmt"
)

var errNoEvents = errors.New("nothing to replay")

// Replay returns the state of an order after its first events, by what Apply goes by. The events are of one order and ascend by
// version from 1; the error says which of them does not follow (I9) or cannot be.
func Replay(events []Event) (Order, error) {
	if len(events) == 0 {
		return Order{}, errNoEvents
	}
	o := order{Order: Order{ID: events[0].Order}}
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
	return o.Order, nil
}
