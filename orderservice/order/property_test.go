package order_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/contract"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// Any history that Decide makes can be folded by Apply, from the bytes that are stored, and keeps the promises of the
// package in every state on its way. Each of its events fits its schema. A refused command names its rule.
func TestEveryHistoryFoldsAndKeepsItsPromises(t *testing.T) {
	t.Parallel()
	schemas := contract.Schemas(t)
	rapid.Check(t, func(t *rapid.T) {
		var o, folded order.Order
		at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			at = at.Add(time.Duration(rapid.IntRange(1, 1e9).Draw(t, "later")) * time.Microsecond)
			cmd := draw(t, o)
			decision, err := order.Decide(o, cmd, at)
			if err != nil {
				refusal(t, cmd, err)
				continue
			}
			if len(decision) == 0 {
				t.Fatalf("%s decided nothing", cmd.Name())
			}
			before := o
			for _, data := range decision {
				o = order.Apply(o, o.Version+1, at, data)
				folded = order.Apply(folded, folded.Version+1, at, stored(t, schemas, event.Event{Version: o.Version, At: at}, data))
			}
			promises(t, before, o)
			if diff := cmp.Diff(o, folded); diff != "" {
				t.Fatalf("%s: the fold of the stored events differs (-decided +folded):\n%s", cmd.Name(), diff)
			}
		}
		if diff := cmp.Diff(o, reread(t, o)); diff != "" {
			t.Fatalf("the state differs after JSON (-before +after):\n%s", diff)
		}
	})
}

// promises checks what holds after each decision.
func promises(t *rapid.T, before, o order.Order) {
	t.Helper()
	if !slices.Contains(ways[before.Fulfilment], o.Fulfilment) && before.Fulfilment != o.Fulfilment {
		t.Fatalf("fulfilment went from %q to %q", before.Fulfilment, o.Fulfilment)
	}
	if !slices.Contains(payments[before.Payment], o.Payment) && before.Payment != o.Payment {
		t.Fatalf("payment went from %q to %q", before.Payment, o.Payment)
	}
	if before.Fulfilment.Terminal() && (o.Fulfilment != before.Fulfilment || !cmp.Equal(o.Lines, before.Lines)) {
		t.Fatalf("%s was final, and is %s now", before.Fulfilment, o.Fulfilment)
	}
	var sum int64
	for _, l := range o.Lines {
		sum += int64(l.Quantity) * l.UnitPrice.Minor
		if l.UnitPrice.Currency != o.Total.Currency {
			t.Fatalf("a line in %s in an order in %s", l.UnitPrice.Currency, o.Total.Currency)
		}
	}
	if sum != o.Total.Minor {
		t.Fatalf("the lines' sum is %d, the total %d", sum, o.Total.Minor)
	}
	for _, m := range []event.Money{o.Authorized, o.Captured, o.Refunded, o.Tip} {
		if m.Currency != o.Total.Currency || m.Minor < 0 {
			t.Fatalf("%v in an order in %s", m, o.Total.Currency)
		}
	}
	open := o.Captured.Minor - o.Refunded.Minor - o.Refundable().Minor
	if o.Refunded.Minor+open > o.Captured.Minor || o.Captured.Minor > o.Authorized.Minor {
		t.Fatalf("refunded %d, asked for %d, captured %d, authorized %d", o.Refunded.Minor, open, o.Captured.Minor, o.Authorized.Minor)
	}
	if o.Authorized.Minor > 0 && o.Total.Minor > o.Authorized.Minor {
		t.Fatalf("total %d of authorized %d", o.Total.Minor, o.Authorized.Minor)
	}
	if o.Fulfilment.Terminal() && o.Payment == order.PaymentAuthorized {
		t.Fatalf("%s, and the money is still reserved", o.Fulfilment)
	}
}

// ways are the steps of the package's table.
var ways = map[order.Fulfilment][]order.Fulfilment{
	"":               {order.Placed},
	order.Placed:     {order.Confirmed, order.Cancelled, order.Expired},
	order.Confirmed:  {order.Accepted, order.Rejected, order.Cancelled, order.Expired},
	order.Accepted:   {order.Preparing, order.Cancelled},
	order.Preparing:  {order.Ready, order.Cancelled},
	order.Ready:      {order.InDelivery, order.Completed},
	order.InDelivery: {order.Completed, order.DeliveryFailed},
}

var payments = map[order.Payment][]order.Payment{
	"":                             {order.PaymentNone},
	order.PaymentNone:              {order.PaymentAuthorized, order.PaymentFailed},
	order.PaymentFailed:            {order.PaymentAuthorized},
	order.PaymentAuthorized:        {order.PaymentCaptured, order.PaymentVoided},
	order.PaymentCaptured:          {order.PaymentPartiallyRefunded, order.PaymentRefunded},
	order.PaymentPartiallyRefunded: {order.PaymentRefunded},
}

func refusal(t *rapid.T, cmd order.Command, err error) {
	t.Helper()
	var rule *order.RuleError
	if !errors.As(err, &rule) || rule.Rule == "" || rule.Detail == "" {
		t.Fatalf("%s: %v is no rule's error", cmd.Name(), err)
	}
}

// stored is the data as it comes back from the log, where it has a version and a time.
func stored(t *rapid.T, schemas *contract.Set, in event.Event, data event.Data) event.Data {
	t.Helper()
	e, err := event.New(uuid.New(), in.Version, in.At, data)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Written(e.Type, e.Payload); err != nil {
		t.Fatalf("%s %s: %v", e.Type, e.Payload, err)
	}
	back, err := e.Data()
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func reread(t *rapid.T, o order.Order) (back order.Order) {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// draw returns a command that is at home in the order's state, or, now and then, any other.
func draw(t *rapid.T, o order.Order) order.Command {
	names := home[o.Fulfilment]
	if len(names) == 0 || rapid.IntRange(0, 4).Draw(t, "stray") == 0 {
		names = everything
	}
	name := rapid.SampledFrom(names).Draw(t, "command")
	cmd := command(t, o, name)
	if cmd.Name() != name {
		t.Fatalf("%s calls itself %s", name, cmd.Name())
	}
	return cmd
}

var after = []string{"request_refund", "request_refund", "issue_refund", "deny_refund", "add_tip", "rate"}

var home = map[order.Fulfilment][]string{
	"":                   {"place"},
	order.Placed:         {"authorize_payment", "authorize_payment", "authorize_payment", "fail_payment", "cancel", "expire"},
	order.Confirmed:      {"accept", "accept", "accept", "accept", "amend", "mark_item_unavailable", "reject", "cancel", "expire"},
	order.Accepted:       {"start_preparing", "start_preparing", "start_preparing", "amend", "mark_item_unavailable", "cancel"},
	order.Preparing:      {"mark_ready", "mark_ready", "mark_ready", "cancel"},
	order.Ready:          {"dispatch", "collect"},
	order.InDelivery:     {"confirm_delivery", "confirm_delivery", "fail_delivery"},
	order.Completed:      after,
	order.DeliveryFailed: after,
	order.Cancelled:      after,
}

var everything = []string{
	"place", "authorize_payment", "fail_payment", "accept", "reject", "amend", "mark_item_unavailable", "start_preparing",
	"mark_ready", "dispatch", "collect", "confirm_delivery", "fail_delivery", "cancel", "request_refund", "issue_refund",
	"deny_refund", "add_tip", "rate", "expire",
}

// command draws a command of a name. Its fields are right more often than not.
func command(t *rapid.T, o order.Order, name string) order.Command {
	text := rapid.SampledFrom([]string{"too cold", "zu spät\n", "", "\x00", "\xff"})
	switch name {
	case "place":
		return order.Place{
			CustomerID: rapid.IntRange(0, 100).Draw(t, "customer"),
			Service:    rapid.SampledFrom([]event.Service{event.Delivery, event.Pickup, event.Delivery, event.Pickup, "drone"}).Draw(t, "service"),
			Lines:      lines(t),
		}
	case "authorize_payment":
		return order.AuthorizePayment{}
	case "fail_payment":
		return order.FailPayment{Reason: text.Draw(t, "reason")}
	case "accept":
		return order.Accept{ReadyAt: o.UpdatedAt.Add(time.Duration(rapid.IntRange(-10, 1500).Draw(t, "ready")) * time.Minute)}
	case "reject":
		return order.Reject{Reason: text.Draw(t, "reason")}
	case "amend":
		return order.Amend{Lines: lines(t)}
	case "mark_item_unavailable":
		return order.MarkItemUnavailable{ItemID: rapid.IntRange(1, 4).Draw(t, "item")}
	case "start_preparing":
		return order.StartPreparing{}
	case "mark_ready":
		return order.MarkReady{}
	case "dispatch":
		return order.Dispatch{Courier: text.Draw(t, "courier")}
	case "collect":
		return order.Collect{}
	case "confirm_delivery":
		return order.ConfirmDelivery{}
	case "fail_delivery":
		return order.FailDelivery{Reason: text.Draw(t, "reason")}
	case "cancel":
		by := rapid.SampledFrom([]order.Party{order.Customer, order.Kitchen, order.Support, "nobody"})
		return order.Cancel{By: by.Draw(t, "by"), Reason: text.Draw(t, "reason")}
	case "request_refund":
		return order.RequestRefund{Amount: money(t, o), Reason: text.Draw(t, "reason")}
	case "issue_refund":
		return order.IssueRefund{}
	case "deny_refund":
		return order.DenyRefund{Reason: text.Draw(t, "reason")}
	case "add_tip":
		return order.AddTip{Amount: money(t, o)}
	case "rate":
		return order.Rate{Stars: rapid.IntRange(0, 6).Draw(t, "stars"), Comment: text.Draw(t, "comment")}
	case "expire":
		return order.Expire{}
	default:
		panic(name)
	}
}

func lines(t *rapid.T) []event.Line {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event.Line {
		return event.Line{
			ItemID:    rapid.IntRange(1, 30).Draw(t, "item"),
			Name:      rapid.SampledFrom([]string{"Soup", "Bánh mì"}).Draw(t, "name"),
			Quantity:  rapid.IntRange(0, order.MaxQuantity).Draw(t, "quantity"),
			UnitPrice: event.Money{Minor: rapid.Int64Range(0, order.MaxUnitPrice).Draw(t, "price"), Currency: "EUR"},
		}
	}), 0, 4).Draw(t, "lines")
}

func money(t *rapid.T, o order.Order) event.Money {
	return event.Money{
		Minor:    rapid.OneOf(rapid.Int64Range(0, max(1, o.Captured.Minor)), rapid.Just(o.Captured.Minor), rapid.Just(o.Captured.Minor+1)).Draw(t, "amount"),
		Currency: rapid.SampledFrom([]string{"EUR", "EUR", "EUR", "CHF"}).Draw(t, "currency"),
	}
}
