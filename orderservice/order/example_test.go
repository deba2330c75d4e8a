package order_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func Example() {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	soup := event.Line{ItemID: 1, Name: "Soup", Quantity: 2, UnitPrice: event.Money{Minor: 450, Currency: "EUR"}}

	var o order.Order
	for _, cmd := range []order.Command{
		order.Place{CustomerID: 7, Service: event.Pickup, Lines: []event.Line{soup}},
		order.AuthorizePayment{},
		order.Accept{ReadyAt: now.Add(15 * time.Minute)},
		order.StartPreparing{},
		order.Cancel{By: order.Customer, Reason: "changed my mind"},
		order.MarkReady{},
		order.Collect{},
	} {
		events, err := order.Decide(o, cmd, now)
		var rule *order.RuleError
		if errors.As(err, &rule) {
			fmt.Printf("%-17s refused, %s: %s\n", cmd.Name(), rule.Rule, rule.Detail)
			continue
		}
		for _, data := range events {
			o = order.Apply(o, o.Version+1, now, data)
			fmt.Printf("%-17s %-26s %s, %s\n", cmd.Name(), data.Type(), o.Fulfilment, o.Payment)
		}
	}
	// Output:
	// place             order.placed.v1            placed, none
	// authorize_payment payment.authorized.v1      confirmed, authorized
	// accept            order.accepted.v1          accepted, authorized
	// start_preparing   order.preparation_started.v1 preparing, authorized
	// cancel            refused, cancel_party: the kitchen has begun: only the kitchen or support can cancel the order now
	// mark_ready        order.ready.v1             ready, authorized
	// collect           order.collected.v1         completed, authorized
	// collect           payment.captured.v1        completed, captured
}
