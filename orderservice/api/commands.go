package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// registerCommands adds an operation for each command.
func (a *api) registerCommands() {
	a.registerPlace()
	asWritten[order.AuthorizePayment](a, "pay", "Record that the total was reserved")
	asWritten[order.FailPayment](a, "fail-payment", "Record that the total could not be reserved")
	asWritten[order.Accept](a, "accept", "The kitchen takes the order")
	asWritten[order.Reject](a, "reject", "The kitchen does not take the order")
	priced(a, "amend", "Replace the lines, at the menu's prices", func(ctx context.Context, w amendment) (order.Command, error) {
		lines, err := a.menu.price(ctx, w.Lines)
		return order.Amend{Lines: lines}, err
	})
	asWritten[order.MarkItemUnavailable](a, "unavailable", "Take the line of an item out")
	asWritten[order.StartPreparing](a, "prepare", "The kitchen begins")
	asWritten[order.MarkReady](a, "ready", "The kitchen is done")
	asWritten[order.Dispatch](a, "dispatch", "Hand a delivery to a courier")
	asWritten[order.Collect](a, "collect", "The customer of a pickup took the order")
	asWritten[order.ConfirmDelivery](a, "deliver", "The courier handed the order over")
	asWritten[order.FailDelivery](a, "fail-delivery", "The courier could not hand the order over")
	asWritten[order.Cancel](a, "cancel", "End the order before it is ready")
	asWritten[order.RequestRefund](a, "refund", "Ask for money back")
	asWritten[order.IssueRefund](a, "issue-refund", "Pay the open refund")
	asWritten[order.DenyRefund](a, "deny-refund", "Close the open refund without paying")
	asWritten[order.AddTip](a, "tip", "Add a tip to a completed order")
	asWritten[order.Rate](a, "rate", "Rate a completed order")
	asWritten[order.Expire](a, "expire", "End an order that nobody paid or accepted")
}

// position is a line without what the menu says about it: a client does not set prices.
type position struct {
	ItemID   int `json:"item_id" minimum:"1" maximum:"2147483647" example:"3" doc:"An item of the menu. One line has all of it."`
	Quantity int `json:"quantity" minimum:"1" maximum:"99" example:"2"`
}

// placement is order.Place as a client writes it.
type placement struct {
	CustomerID int           `json:"customer_id" minimum:"1" maximum:"2147483647" example:"7"`
	Service    event.Service `json:"service" enum:"delivery,pickup"`
	Lines      []position    `json:"lines" minItems:"1" maxItems:"50"`
}

// amendment is order.Amend as a client writes it.
type amendment struct {
	Lines []position `json:"lines" minItems:"1" maxItems:"50"`
}

func (a *api) registerPlace() {
	op := huma.Operation{
		OperationID: "place-order", Method: http.MethodPost, Path: "/v1/orders", Tags: []string{"orders"},
		Summary: "Place an order", Description: "All lines get the menu's prices, as they are or were a second ago.",
		DefaultStatus: http.StatusCreated, Errors: commandErrors, Parameters: slices.Clone(commandHeaders[:3]), Responses: placed(),
	}
	register(a, op, func(ctx context.Context, in *struct{ Body placement }) (*shown, error) {
		if exchangeOf(ctx).request.Header.Get("If-Match") != "" {
			return nil, &problem{kind: notExpected, detail: "an order that is placed has no version before"}
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("order id: %w", err)
		}
		out, err := a.execute(ctx, id, in.Body, func() (order.Command, error) {
			lines, err := a.menu.price(ctx, in.Body.Lines)
			return order.Place{CustomerID: in.Body.CustomerID, Service: in.Body.Service, Lines: lines}, err
		})
		if err != nil {
			return nil, err
		}
		out.Location = "/v1/orders/" + out.Body.ID.String()
		return out, nil
	})
}

// asWritten adds a command that needs nothing from the database.
func asWritten[C order.Command](a *api, verb, summary string) {
	priced(a, verb, summary, func(_ context.Context, written C) (order.Command, error) { return written, nil })
}

// priced adds a command that is made of what the client writes and of what the menu says.
func priced[W any](a *api, verb, summary string, command func(context.Context, W) (order.Command, error)) {
	op := huma.Operation{
		OperationID: verb, Method: http.MethodPost, Path: "/v1/orders/{id}/" + verb, Tags: []string{"commands"},
		Summary: summary, Errors: append([]int{http.StatusNotFound, http.StatusPreconditionFailed}, commandErrors...), Parameters: slices.Clone(commandHeaders),
	}
	register(a, op, func(ctx context.Context, in *struct {
		OrderPath

		Body W
	},
	) (*shown, error) {
		return a.execute(ctx, in.id(), in.Body, func() (order.Command, error) { return command(ctx, in.Body) })
	})
	body := a.huma.OpenAPI().Paths[op.Path].Post.RequestBody
	schema := a.huma.OpenAPI().Components.Schemas.SchemaFromRef(body.Content["application/json"].Schema.Ref)
	body.Required = len(schema.Required) > 0
	for _, field := range schema.Properties {
		if field.Type == huma.TypeString && field.Enum == nil && field.Format == "" {
			field.Pattern, field.PatternDescription = textPattern, textDescription
			field.PrecomputeMessages()
		}
	}
}

// What order's rules hold every text to. That there is one is said by minLength.
const (
	textPattern     = `^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$`
	textDescription = "text without control characters"
)

// execute has the event log do what the request asks of an order. Its answer comes out of what was committed, by this
// request or by an earlier one with the same key (I12).
func (a *api) execute(ctx context.Context, id uuid.UUID, body any, command func() (order.Command, error)) (*shown, error) {
	r := exchangeOf(ctx).request
	key, err := idempotencyKey(r, body)
	if err != nil {
		return nil, err
	}
	expected, err := ifMatch(r)
	if err != nil {
		return nil, err
	}
	var result eventlog.Result
	do, err := command()
	if err == nil {
		result, err = a.log.Execute(ctx, eventlog.Command{Order: id, Do: do, Key: key, Headers: eventHeaders(ctx), Expected: expected})
	} else if key != nil {
		result, err = a.earlier(ctx, key, err)
	}
	if err != nil {
		return nil, err
	}
	a.metrics.executed(do, result)
	return outcome(result), nil
}

// earlier looks whether the key has done something already, for a request that cannot be done any more: an item may have
// left the menu since. If not, the request's own error stands.
//
// The log looks a key up on the way to an order; one that nobody has placed makes sure that nothing else happens.
func (a *api) earlier(ctx context.Context, key *eventlog.Key, otherwise error) (eventlog.Result, error) {
	result, err := a.log.Execute(ctx, eventlog.Command{Order: uuid.New(), Do: order.Expire{}, Key: key})
	if errors.Is(err, eventlog.ErrNotFound) {
		return eventlog.Result{}, otherwise
	}
	return result, err
}
