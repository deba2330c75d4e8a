package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// CustomerPath is the customer that a path names. It is exported for huma, which looks into no other struct.
type CustomerPath struct {
	ID int `path:"id" minimum:"1" maximum:"2147483647" doc:"The customer's id."`
}

// person is a customer in an answer: the only place where the details leave the database.
type person struct {
	ID      int    `json:"customer_id"`
	Name    string `json:"name"`
	Email   string `json:"email" format:"email"`
	Address string `json:"address"`
}

type personShown struct{ Body person }

type erasureShown struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true if the customer had been erased before."`
	Body     struct {
		ID    int       `json:"customer_id"`
		Event happening `json:"event" doc:"What says so in the topic."`
	} `nameHint:"Erasure"`
}

func (a *api) registerCustomers() {
	register(a, huma.Operation{
		OperationID: "get-customer", Method: http.MethodGet, Path: "/v1/customers/{id}", Tags: []string{"customers"},
		Summary: "Look at a customer", Description: "Who was erased is 410.",
		Errors: append([]int{http.StatusGone}, queryErrors...),
	}, a.customer)
	register(a, huma.Operation{
		OperationID: "erase-customer", Method: http.MethodDelete, Path: "/v1/customers/{id}", Tags: []string{"customers"},
		Summary: "Erase what is known of a customer",
		Description: "Name and addresses are deleted, and customer.erased is published, in one transaction. The customer orders nothing from then on. " +
			"To erase again does nothing and has the same answer, so it may be given again without a key.",
		Errors: queryErrors, Parameters: slices.Clone(commandHeaders[1:3]),
	}, a.erase)
}

// customer serves GET /v1/customers/{id}.
func (a *api) customer(ctx context.Context, in *struct{ CustomerPath }) (*personShown, error) {
	c, err := a.log.Customer(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &personShown{person{c.ID, c.Name, c.Email, c.Address}}, nil
}

// erase serves DELETE /v1/customers/{id}.
func (a *api) erase(ctx context.Context, in *struct{ CustomerPath }) (*erasureShown, error) {
	e, err := a.log.Erase(ctx, in.ID, eventHeaders(ctx))
	if err != nil {
		return nil, err
	}
	out := new(erasureShown)
	out.Body.ID, out.Body.Event = in.ID, happened(e.Event)
	if e.Before {
		out.Replayed = "true"
	} else {
		a.metrics.events.Inc()
	}
	return out, nil
}
