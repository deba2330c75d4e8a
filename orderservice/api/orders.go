package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// place serves POST /v1/orders.
func (a *api) place(ctx context.Context, r *http.Request) (answer, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return answer{}, fmt.Errorf("order id: %w", err)
	}
	ans, err := a.execute(ctx, r, id, new(placement))
	ans.code, ans.placed = http.StatusCreated, true
	return ans, err
}

// act serves POST /v1/orders/{id}/{verb}.
func (a *api) act(ctx context.Context, r *http.Request) (answer, error) {
	id, err := orderID(r)
	if err != nil {
		return answer{}, err
	}
	f, err := formOf(r.PathValue("verb"))
	if err != nil {
		return answer{}, err
	}
	ans, err := a.execute(ctx, r, id, f)
	ans.code = http.StatusOK
	return ans, err
}

// execute has the event log do what the request asks of an order. Its answer comes out of what was committed, by this
// request or by an earlier one with the same key (I12).
func (a *api) execute(ctx context.Context, r *http.Request, id uuid.UUID, f form) (answer, error) {
	if err := decode(r, f.body()); err != nil {
		return answer{}, err
	}
	key, err := idempotencyKey(r, f.body())
	if err != nil {
		return answer{}, err
	}
	expected, err := ifMatch(r)
	if err != nil {
		return answer{}, err
	}
	var result eventlog.Result
	command, err := f.command(ctx, a.menu)
	if err == nil {
		result, err = a.log.Execute(ctx, eventlog.Command{Order: id, Do: command, Key: key, Headers: eventHeaders(r), Expected: expected})
	} else if key != nil {
		result, err = a.earlier(ctx, key, err)
	}
	if err != nil {
		return answer{}, err
	}
	a.metrics.executed(command, result)
	return answer{order: result.ID, version: result.Order.Version, replayed: result.Replayed, body: outcome(result)}, nil
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

// view is an order in an answer.
type view struct {
	ID uuid.UUID `json:"id"`
	order.Order

	// Events are what the request made happen; an answer to GET has none.
	Events []happening `json:"events,omitempty"`
}

// happening is an event in an answer.
type happening struct {
	ID      uuid.UUID         `json:"id"`
	Version int64             `json:"version"`
	Type    event.Type        `json:"type"`
	At      time.Time         `json:"at"`
	Data    json.RawMessage   `json:"data"`
	Headers map[string]string `json:"headers,omitempty"`
}

func outcome(result eventlog.Result) view {
	v := view{ID: result.ID, Order: result.Order}
	for _, e := range result.Events {
		v.Events = append(v.Events, happened(e))
	}
	return v
}

func happened(e event.Event) happening {
	return happening{e.ID, e.Version, e.Type, e.At, e.Payload, e.Headers}
}

// order serves GET /v1/orders/{id}.
func (a *api) order(ctx context.Context, r *http.Request) (answer, error) {
	id, err := orderID(r)
	if err != nil {
		return answer{}, err
	}
	o, err := a.log.Load(ctx, id)
	return answer{code: http.StatusOK, order: id, version: o.Version, body: view{ID: id, Order: o}}, err
}

// history is the body of an answer about all events of an order.
type history struct {
	ID      uuid.UUID   `json:"id"`
	Version int64       `json:"version"`
	Events  []happening `json:"events"`
}

// events serves GET /v1/orders/{id}/events.
func (a *api) events(ctx context.Context, r *http.Request) (answer, error) {
	id, err := orderID(r)
	if err != nil {
		return answer{}, err
	}
	entries, err := a.log.History(ctx, id)
	if err != nil {
		return answer{}, err
	}
	h := history{ID: id, Version: entries[len(entries)-1].Version}
	for _, e := range entries {
		h.Events = append(h.Events, happened(e.Event))
	}
	return answer{code: http.StatusOK, order: id, version: h.Version, body: h}, nil
}

// orderID reads the id in the path, in the one form that answers give it.
func orderID(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil || id.String() != r.PathValue("id") {
		return uuid.Nil, &problem{kind: notFound, detail: "an order's id is a UUID in lower case"}
	}
	return id, nil
}
