package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// OrderPath is the order that a path names, by its id in the one form that answers give it. It is exported for huma, which
// looks into no other struct.
type OrderPath struct {
	ID string `path:"id" format:"uuid" pattern:"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" patternDescription:"a UUID in lower case" doc:"The order's id."`
}

func (p OrderPath) id() uuid.UUID { return uuid.MustParse(p.ID) } // the pattern holds

// view is an order in an answer.
type view struct {
	ID uuid.UUID `json:"id" format:"uuid"`
	order.Order

	// Events are what the request made happen; an answer to GET has none.
	Events []happening `json:"events,omitempty" doc:"What the request made happen; absent in answers to GET."`
}

// happening is an event in an answer.
type happening struct {
	ID      uuid.UUID         `json:"id" format:"uuid" doc:"The event's id, in the topic too."`
	Version int64             `json:"version" minimum:"1" doc:"The event's place in the order's history, 1..n."`
	Type    event.Type        `json:"type" example:"order.placed.v1" doc:"What happened, and the version of the schema of data."`
	At      time.Time         `json:"at" doc:"When it was decided."`
	Data    json.RawMessage   `json:"data" doc:"The payload, as it is in the topic. docs/contracts has its schema."`
	Headers map[string]string `json:"headers,omitempty" doc:"Who did it and on what occasion."`
}

// shown is an answer about an order.
type shown struct {
	Status       int
	ETag         string `header:"ETag" doc:"The order's version, quoted."`
	OrderVersion string `header:"Order-Version" doc:"id@version, which a reader of the read model can wait for."`
	Location     string `header:"Location" doc:"Where the new order is."`
	Replayed     string `header:"Idempotency-Replayed" doc:"true if an earlier request with the same key did it."`
	Body         view
}

// show is an answer about an order as it is at a version.
func show(id uuid.UUID, o order.Order) *shown {
	return &shown{Status: http.StatusOK, ETag: etag(o.Version), OrderVersion: orderVersion(id, o.Version), Body: view{ID: id, Order: o}}
}

func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

func orderVersion(id uuid.UUID, version int64) string { return fmt.Sprintf("%s@%d", id, version) }

// outcome is the answer to a command.
func outcome(result eventlog.Result) *shown {
	out := show(result.ID, result.Order)
	if result.Events[0].Version == 1 {
		out.Status = http.StatusCreated
	}
	if result.Replayed {
		out.Replayed = "true"
	}
	for _, e := range result.Events {
		out.Body.Events = append(out.Body.Events, happened(e))
	}
	return out
}

func happened(e event.Event) happening {
	return happening{e.ID, e.Version, e.Type, e.At, e.Payload, e.Headers}
}

func (a *api) registerOrders() {
	register(a, huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/v1/orders/{id}", Tags: []string{"orders"},
		Summary:     "Look at an order",
		Description: "As it is, or as it was at a version or at a time: its events up to then are folded.",
		Errors:      queryErrors, Parameters: []*huma.Param{ifNoneMatchHeader}, Responses: notModified(),
	}, a.order)
	register(a, huma.Operation{
		OperationID: "get-order-events", Method: http.MethodGet, Path: "/v1/orders/{id}/events", Tags: []string{"orders"},
		Summary: "Look at what happened to an order", Description: "All events in the order in which they happened, in pages.",
		Errors: queryErrors, Parameters: []*huma.Param{ifNoneMatchHeader}, Responses: notModified(),
	}, a.events)
}

// order serves GET /v1/orders/{id}.
func (a *api) order(ctx context.Context, in *struct {
	OrderPath

	Version int64     `query:"version" minimum:"1" doc:"The order as it was at this version."`
	At      time.Time `query:"at" doc:"The order as it was at this time; with version, whichever is earlier."`
},
) (*shown, error) {
	if in.At.IsZero() && exchangeOf(ctx).request.URL.Query().Has("at") {
		in.At = in.At.Add(1) // the log takes the year 1's first moment for none
	}
	o, err := a.log.LoadAt(ctx, in.id(), eventlog.Moment{Version: in.Version, At: in.At})
	if err != nil {
		return nil, err
	}
	out := show(in.id(), o)
	if unchanged(ctx, out.ETag) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

// history is the body of an answer about the events of an order.
type history struct {
	ID      uuid.UUID   `json:"id" format:"uuid"`
	Version int64       `json:"version" minimum:"1" doc:"The order's version: that of its last event, which may be on a later page."`
	Events  []happening `json:"events"`
}

type historyShown struct {
	Status       int
	ETag         string `header:"ETag" doc:"The order's version, quoted."`
	OrderVersion string `header:"Order-Version" doc:"id@version, which a reader of the read model can wait for."`
	Link         string `header:"Link" doc:"Where the next page is; absent on the last one."`
	Body         history
}

// events serves GET /v1/orders/{id}/events.
func (a *api) events(ctx context.Context, in *struct {
	OrderPath

	After int64 `query:"after" minimum:"0" doc:"Begin behind this version."`
	Page
},
) (*historyShown, error) {
	entries, err := a.log.History(ctx, in.id())
	if err != nil {
		return nil, err
	}
	version := entries[len(entries)-1].Version
	out := &historyShown{
		Status: http.StatusOK, ETag: etag(version), OrderVersion: orderVersion(in.id(), version),
		Body: history{ID: in.id(), Version: version, Events: []happening{}},
	}
	if unchanged(ctx, out.ETag) {
		out.Status = http.StatusNotModified
		return out, nil
	}
	for _, e := range entries[min(in.After, version):] { // version n is entry n-1 (I2)
		if len(out.Body.Events) == in.Limit {
			out.Link = in.next(ctx, out.Body.Events[in.Limit-1].Version)
			break
		}
		out.Body.Events = append(out.Body.Events, happened(e.Event))
	}
	return out, nil
}
