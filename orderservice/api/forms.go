package api

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// form is a command as a client writes it.
type form interface {
	// body is what the request's body is decoded into.
	body() any

	// command completes what the client wrote with what only the database knows.
	command(ctx context.Context, m menu) (order.Command, error)
}

// verbs has the form of each command that can be given to an order.
var verbs = map[string]func() form{
	"pay":           asIs[order.AuthorizePayment],
	"fail-payment":  asIs[order.FailPayment],
	"accept":        asIs[order.Accept],
	"reject":        asIs[order.Reject],
	"amend":         func() form { return new(amendment) },
	"unavailable":   asIs[order.MarkItemUnavailable],
	"prepare":       asIs[order.StartPreparing],
	"ready":         asIs[order.MarkReady],
	"dispatch":      asIs[order.Dispatch],
	"collect":       asIs[order.Collect],
	"deliver":       asIs[order.ConfirmDelivery],
	"fail-delivery": asIs[order.FailDelivery],
	"cancel":        asIs[order.Cancel],
	"refund":        asIs[order.RequestRefund],
	"issue-refund":  asIs[order.IssueRefund],
	"deny-refund":   asIs[order.DenyRefund],
	"tip":           asIs[order.AddTip],
	"rate":          asIs[order.Rate],
	"expire":        asIs[order.Expire],
}

// formOf returns an empty form for a verb.
func formOf(verb string) (form, error) {
	empty, known := verbs[verb]
	if !known {
		all := strings.Join(slices.Sorted(maps.Keys(verbs)), ", ")
		return nil, &problem{kind: notFound, detail: fmt.Sprintf("%q is none of %s", verb, all)}
	}
	return empty(), nil
}

// plain is the form of a command that needs nothing from the database.
type plain[C order.Command] struct{ fields C }

func asIs[C order.Command]() form { return new(plain[C]) }

func (p *plain[C]) body() any { return &p.fields }

func (p *plain[C]) command(context.Context, menu) (order.Command, error) { return p.fields, nil }

// position is a line without what the menu says about it: a client does not set prices.
type position struct {
	ItemID   int64 `json:"item_id"`
	Quantity int   `json:"quantity"`
}

// placement is the form of order.Place.
type placement struct {
	CustomerID int64         `json:"customer_id"`
	Service    event.Service `json:"service"`
	Lines      []position    `json:"lines"`
}

func (p *placement) body() any { return p }

func (p *placement) command(ctx context.Context, m menu) (order.Command, error) {
	if p.CustomerID > math.MaxInt32 { // the column's range; no id is beyond it
		return nil, &order.RuleError{Rule: order.RuleCustomer, Field: "customer_id", Detail: "there is no such customer"}
	}
	lines, err := m.price(ctx, p.Lines)
	return order.Place{CustomerID: int(p.CustomerID), Service: p.Service, Lines: lines}, err
}

// amendment is the form of order.Amend. All of its lines get the menu's prices of now.
type amendment struct {
	Lines []position `json:"lines"`
}

func (a *amendment) body() any { return a }

func (a *amendment) command(ctx context.Context, m menu) (order.Command, error) {
	lines, err := m.price(ctx, a.Lines)
	return order.Amend{Lines: lines}, err
}
