package order_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// play applies the decisions of the commands, which must be allowed.
func play(t *testing.T, cmds ...order.Command) order.Order {
	t.Helper()
	var o order.Order
	for _, cmd := range cmds {
		decision, err := order.Decide(o, cmd, noon)
		if err != nil {
			t.Fatalf("%s in %q: %v", cmd.Name(), o.Fulfilment, err)
		}
		for _, data := range decision {
			o = order.Apply(o, o.Version+1, noon, data)
		}
	}
	return o
}

func eur(minor int64) event.Money { return event.Money{Minor: minor, Currency: "EUR"} }

func soup(quantity int) event.Line {
	return event.Line{ItemID: 1, Name: "Soup", Quantity: quantity, UnitPrice: eur(451)}
}

func bread(quantity int) event.Line {
	return event.Line{ItemID: 2, Name: "Bread", Quantity: quantity, UnitPrice: eur(150)}
}

// Commands that are right in their fields, for an order of 2*451+150.
var (
	place    = order.Place{CustomerID: 7, Service: event.Delivery, Lines: []event.Line{soup(2), bread(1)}}
	pickup   = order.Place{CustomerID: 7, Service: event.Pickup, Lines: place.Lines}
	accept   = order.Accept{ReadyAt: noon.Add(20 * time.Minute)}
	dispatch = order.Dispatch{Courier: "Bea"}
	cancel   = order.Cancel{By: order.Support, Reason: "storm"}
	refund   = order.RequestRefund{Amount: eur(1), Reason: "cold"}
)

// states leads to each state of fulfilment.
func states() map[order.Fulfilment][]order.Command {
	accepted := []order.Command{place, order.AuthorizePayment{}, accept}
	preparing := append(slices.Clip(accepted), order.StartPreparing{})
	delivery := append(slices.Clip(preparing), order.MarkReady{}, dispatch)
	return map[order.Fulfilment][]order.Command{
		"":                   nil,
		order.Placed:         accepted[:1],
		order.Confirmed:      accepted[:2],
		order.Accepted:       accepted,
		order.Preparing:      preparing,
		order.Ready:          delivery[:5],
		order.InDelivery:     delivery,
		order.Completed:      append(slices.Clip(delivery), order.ConfirmDelivery{}),
		order.DeliveryFailed: append(slices.Clip(delivery), order.FailDelivery{Reason: "nobody in"}),
		order.Rejected:       append(slices.Clip(accepted[:2]), order.Reject{Reason: "closing"}),
		order.Cancelled:      append(slices.Clip(preparing), cancel),
		order.Expired:        append(slices.Clip(accepted[:1]), order.Expire{}),
	}
}

func TestCommandsAreAllowedInTheStatesOfTheTableOnly(t *testing.T) {
	t.Parallel()
	paid := []order.Fulfilment{order.Completed, order.DeliveryFailed, order.Cancelled}
	for _, row := range []struct {
		cmd     order.Command
		allowed []order.Fulfilment
	}{
		{place, []order.Fulfilment{""}},
		{order.AuthorizePayment{}, []order.Fulfilment{order.Placed}},
		{order.FailPayment{Reason: "declined"}, []order.Fulfilment{order.Placed}},
		{accept, []order.Fulfilment{order.Confirmed}},
		{order.Reject{Reason: "closing"}, []order.Fulfilment{order.Confirmed}},
		{order.Amend{Lines: []event.Line{soup(1)}}, []order.Fulfilment{order.Confirmed, order.Accepted}},
		{order.MarkItemUnavailable{ItemID: 1}, []order.Fulfilment{order.Confirmed, order.Accepted}},
		{order.StartPreparing{}, []order.Fulfilment{order.Accepted}},
		{order.MarkReady{}, []order.Fulfilment{order.Preparing}},
		{dispatch, []order.Fulfilment{order.Ready}},
		{order.Collect{}, nil}, // these are deliveries
		{order.ConfirmDelivery{}, []order.Fulfilment{order.InDelivery}},
		{order.FailDelivery{Reason: "nobody in"}, []order.Fulfilment{order.InDelivery}},
		{cancel, []order.Fulfilment{order.Placed, order.Confirmed, order.Accepted, order.Preparing}},
		{refund, paid},
		{order.IssueRefund{}, nil}, // none is open
		{order.DenyRefund{Reason: "eaten"}, nil},
		{order.AddTip{Amount: eur(100)}, []order.Fulfilment{order.Completed}},
		{order.Rate{Stars: 5}, []order.Fulfilment{order.Completed}},
		{order.Expire{}, []order.Fulfilment{order.Placed, order.Confirmed}},
	} {
		for state, history := range states() {
			o := play(t, history...)
			if o.Fulfilment != state {
				t.Fatalf("the history of %q leads to %q", state, o.Fulfilment)
			}
			_, err := order.Decide(o, row.cmd, noon)
			if want := slices.Contains(row.allowed, state); (err == nil) != want {
				t.Errorf("%s in %q: allowed %v, want %v (%v)", row.cmd.Name(), state, err == nil, want, err)
			}
		}
	}
}

func TestMoneyFollowsFulfilment(t *testing.T) {
	t.Parallel()
	s := states()
	with := func(state order.Fulfilment, more ...order.Command) []order.Command {
		return append(slices.Clip(s[state]), more...)
	}
	all := order.RequestRefund{Amount: eur(1052), Reason: "cold"}
	for name, c := range map[string]struct {
		history            []order.Command
		payment            order.Payment
		captured, refunded int64
	}{
		"placed":               {s[order.Placed], order.PaymentNone, 0, 0},
		"payment failed":       {with(order.Placed, order.FailPayment{Reason: "declined"}), order.PaymentFailed, 0, 0},
		"payment tried again":  {with(order.Placed, order.FailPayment{Reason: "declined"}, order.AuthorizePayment{}), order.PaymentAuthorized, 0, 0},
		"delivered":            {s[order.Completed], order.PaymentCaptured, 1052, 0},
		"delivery failed":      {s[order.DeliveryFailed], order.PaymentCaptured, 1052, 0},
		"rejected":             {s[order.Rejected], order.PaymentVoided, 0, 0},
		"expired unpaid":       {s[order.Expired], order.PaymentNone, 0, 0},
		"expired reserved":     {with(order.Confirmed, order.Expire{}), order.PaymentVoided, 0, 0},
		"cancelled unpaid":     {with(order.Placed, cancel), order.PaymentNone, 0, 0},
		"cancelled early":      {with(order.Accepted, cancel), order.PaymentVoided, 0, 0},
		"cancelled late":       {s[order.Cancelled], order.PaymentCaptured, 526, 0},
		"cheaper":              {with(order.Confirmed, order.MarkItemUnavailable{ItemID: 1}, accept, order.StartPreparing{}, cancel), order.PaymentCaptured, 75, 0},
		"refund asked":         {with(order.Completed, all), order.PaymentCaptured, 1052, 0},
		"refund denied":        {with(order.Completed, all, order.DenyRefund{Reason: "eaten"}), order.PaymentCaptured, 1052, 0},
		"refunded":             {with(order.Completed, all, order.IssueRefund{}), order.PaymentRefunded, 1052, 1052},
		"refunded in part":     {with(order.Completed, refund, order.IssueRefund{}), order.PaymentPartiallyRefunded, 1052, 1},
		"refunded bit by bit":  {with(order.Cancelled, refund, order.IssueRefund{}, order.RequestRefund{Amount: eur(525), Reason: "r"}, order.IssueRefund{}), order.PaymentRefunded, 526, 526},
		"collected":            {[]order.Command{pickup, order.AuthorizePayment{}, accept, order.StartPreparing{}, order.MarkReady{}, order.Collect{}}, order.PaymentCaptured, 1052, 0},
		"tips are not refunds": {with(order.Completed, order.AddTip{Amount: eur(100)}, order.AddTip{Amount: eur(50)}), order.PaymentCaptured, 1052, 0},
	} {
		o := play(t, c.history...)
		if o.Payment != c.payment || o.Captured != eur(c.captured) || o.Refunded != eur(c.refunded) {
			t.Errorf("%s: %s, captured %d, refunded %d; want %s, %d, %d",
				name, o.Payment, o.Captured.Minor, o.Refunded.Minor, c.payment, c.captured, c.refunded)
		}
	}
}

func TestRefusalsNameRuleAndField(t *testing.T) {
	t.Parallel()
	s := states()
	lines := func(change func(l *event.Line)) order.Place {
		l := soup(1)
		change(&l)
		return order.Place{CustomerID: 1, Service: event.Pickup, Lines: []event.Line{bread(1), l}}
	}
	many := make([]event.Line, order.MaxLines+1)
	for i := range many {
		many[i] = soup(1)
		many[i].ItemID = i + 1
	}
	tipped := append(slices.Clip(s[order.Completed]), order.AddTip{Amount: eur(order.MaxTip)}, order.Rate{Stars: 1}, refund)
	for _, c := range []struct {
		history []order.Command
		cmd     order.Command
		rule    order.Rule
		field   string
	}{
		{nil, cancel, order.RuleNotPlaced, ""},
		{s[order.Placed], place, order.RuleAlreadyPlaced, ""},
		{nil, order.Place{Service: event.Pickup, Lines: place.Lines}, order.RuleRequired, "customer_id"},
		{nil, order.Place{CustomerID: 1, Lines: place.Lines}, order.RuleChoice, "service"},
		{nil, order.Place{CustomerID: 1, Service: event.Pickup}, order.RuleRequired, "lines"},
		{nil, order.Place{CustomerID: 1, Service: event.Pickup, Lines: many}, order.RuleTooLong, "lines"},
		{nil, lines(func(l *event.Line) { l.ItemID = 0 }), order.RuleRequired, "lines[1].item_id"},
		{nil, lines(func(l *event.Line) { l.ItemID = 2 }), order.RuleSameItem, "lines[1].item_id"},
		{nil, lines(func(l *event.Line) { l.Quantity = 0 }), order.RuleRange, "lines[1].quantity"},
		{nil, lines(func(l *event.Line) { l.Quantity = 100 }), order.RuleRange, "lines[1].quantity"},
		{nil, lines(func(l *event.Line) { l.UnitPrice.Minor = -1 }), order.RuleRange, "lines[1].unit_price.minor"},
		{nil, lines(func(l *event.Line) { l.UnitPrice.Minor = 1 << 62 }), order.RuleRange, "lines[1].unit_price.minor"},
		{nil, lines(func(l *event.Line) { l.UnitPrice.Currency = "eur" }), order.RuleCurrency, "lines[1].unit_price.currency"},
		{nil, lines(func(l *event.Line) { l.UnitPrice.Currency = "CHF" }), order.RuleCurrency, "lines[1].unit_price.currency"},
		{nil, lines(func(l *event.Line) { l.Name = " " }), order.RuleRequired, "lines[1].name"},
		{nil, lines(func(l *event.Line) { l.Name = strings.Repeat("x", 201) }), order.RuleTooLong, "lines[1].name"},
		{nil, lines(func(l *event.Line) { l.Name = "a\x00b" }), order.RuleText, "lines[1].name"},
		{nil, lines(func(l *event.Line) { l.Name = "a\xff" }), order.RuleText, "lines[1].name"},
		{s[order.Confirmed], order.Accept{}, order.RuleRequired, "ready_at"},
		{s[order.Confirmed], order.Accept{ReadyAt: noon.Add(-time.Second)}, order.RuleRange, "ready_at"},
		{s[order.Confirmed], order.Accept{ReadyAt: noon.Add(25 * time.Hour)}, order.RuleRange, "ready_at"},
		{s[order.Confirmed], order.Amend{Lines: []event.Line{soup(3)}}, order.RuleAuthorized, "lines"},
		{s[order.Confirmed], order.Amend{Lines: place.Lines}, order.RuleNothingChanged, ""},
		{s[order.Confirmed], order.MarkItemUnavailable{ItemID: 3}, order.RuleNotOrdered, "item_id"},
		{append(slices.Clip(s[order.Confirmed]), order.MarkItemUnavailable{ItemID: 1}), order.MarkItemUnavailable{ItemID: 2}, order.RuleLastLine, ""},
		{s[order.Ready], order.Collect{}, order.RuleService, ""},
		{s[order.Accepted], order.Cancel{By: "cat", Reason: "r"}, order.RuleChoice, "by"},
		{s[order.Preparing], order.Cancel{By: order.Customer, Reason: "r"}, order.RuleCancelParty, ""},
		{s[order.Accepted], refund, order.RuleState, ""},
		{s[order.Rejected], refund, order.RuleNothingToRefund, ""},
		{s[order.Completed], order.RequestRefund{Amount: eur(1053), Reason: "r"}, order.RuleRefundable, "amount.minor"},
		{s[order.Completed], order.RequestRefund{Amount: eur(0), Reason: "r"}, order.RuleRange, "amount.minor"},
		{s[order.Completed], order.RequestRefund{Amount: event.Money{Minor: 1}, Reason: "r"}, order.RuleCurrency, "amount.currency"},
		{s[order.Completed], order.RequestRefund{Amount: eur(1)}, order.RuleRequired, "reason"},
		{s[order.Completed], order.IssueRefund{}, order.RuleNoOpenRefund, ""},
		{tipped, refund, order.RuleOneOpenRefund, ""},
		{tipped, order.AddTip{Amount: eur(1)}, order.RuleRange, "amount.minor"},
		{tipped, order.Rate{Stars: 5}, order.RuleRatedOnce, ""},
		{s[order.Completed], order.Rate{Stars: 6}, order.RuleRange, "stars"},
		{s[order.Completed], order.Rate{Stars: 1, Comment: strings.Repeat("x", 1001)}, order.RuleTooLong, "comment"},
	} {
		_, err := order.Decide(play(t, c.history...), c.cmd, noon)
		var rule *order.RuleError
		if !errors.As(err, &rule) || rule.Rule != c.rule || rule.Field != c.field {
			t.Errorf("%s: got %v, want rule %s of field %q", c.cmd.Name(), err, c.rule, c.field)
		}
	}
}

func TestLargestOrderDoesNotOverflow(t *testing.T) {
	t.Parallel()
	lines := make([]event.Line, order.MaxLines)
	for i := range lines {
		lines[i] = event.Line{ItemID: i + 1, Name: "Truffle", Quantity: order.MaxQuantity, UnitPrice: eur(order.MaxUnitPrice)}
	}
	o := play(t, order.Place{CustomerID: 1, Service: event.Pickup, Lines: lines})
	if want := int64(order.MaxLines * order.MaxQuantity * order.MaxUnitPrice); o.Total.Minor != want {
		t.Errorf("total %d, want %d", o.Total.Minor, want)
	}
}

func TestApplyRefusesAHole_I2(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("version 3 was applied to an order at version 1")
		}
	}()
	order.Apply(play(t, place), 3, noon, event.OrderReady{})
}
