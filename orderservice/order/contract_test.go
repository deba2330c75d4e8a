package order_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/contract"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// A bound that is raised in the domain alone would have it write events that the contracts refuse.
func TestTheContractsBoundsAreTheDomains(t *testing.T) {
	t.Parallel()
	schemas := contract.Schemas(t)
	eur := func(minor int64) event.Money { return event.Money{Minor: minor, Currency: "EUR"} }
	lines := func(n, quantity, name int) (all []event.Line) {
		for i := range n {
			all = append(all, event.Line{ItemID: i + 1, Name: strings.Repeat("x", name), Quantity: quantity, UnitPrice: eur(order.MaxUnitPrice)})
		}
		return all
	}
	placed := func(lines []event.Line) event.Data {
		return event.OrderPlaced{CustomerID: 1, Service: event.Pickup, Lines: lines, Total: eur(order.MaxLines * order.MaxQuantity * order.MaxUnitPrice)}
	}
	for name, tt := range map[string]struct{ at, above event.Data }{
		"lines":    {placed(lines(order.MaxLines, 1, 1)), placed(lines(order.MaxLines+1, 1, 1))},
		"no lines": {placed(lines(1, 1, 1)), placed(lines(0, 1, 1))},
		"quantity": {placed(lines(1, order.MaxQuantity, 1)), placed(lines(1, order.MaxQuantity+1, 1))},
		"none":     {placed(lines(1, 1, 1)), placed(lines(1, 0, 1))},
		"name":     {placed(lines(1, 1, order.MaxName)), placed(lines(1, 1, order.MaxName+1))},
		"courier": {
			event.OrderDispatched{Courier: strings.Repeat("x", order.MaxName)},
			event.OrderDispatched{Courier: strings.Repeat("x", order.MaxName+1)},
		},
		"reason": {
			event.OrderRejected{Reason: strings.Repeat("x", order.MaxText)},
			event.OrderRejected{Reason: strings.Repeat("x", order.MaxText+1)},
		},
		"stars":   {event.OrderRated{Stars: 5}, event.OrderRated{Stars: 6}},
		"nothing": {event.OrderRated{Stars: 1}, event.OrderRated{Stars: 0}},
	} {
		if err := accepts(t, schemas, tt.at); err != nil {
			t.Errorf("%s at the bound: %v", name, err)
		}
		if err := accepts(t, schemas, tt.above); err == nil {
			t.Errorf("%s beyond the bound is accepted", name)
		}
	}
}

func accepts(t *testing.T, schemas *contract.Set, data event.Data) error {
	t.Helper()
	payload, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return schemas.Written(data.Type(), payload)
}
