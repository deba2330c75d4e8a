// Package api is the orders' HTTP interface, a thin edge: it decodes a request, gives a command to the event log, and
// encodes what came of it.
//
//	POST   /v1/orders                 place an order: 201 and its Location
//	POST   /v1/orders/{id}/{verb}     act on an order: pay, accept, cancel, ... (see commands.go): 200
//	GET    /v1/orders/{id}            the order as it is, or with ?version= or ?at= as it was
//	GET    /v1/orders/{id}/events     what happened to it
//	GET    /v1/menu                   what there is to order
//	GET    /v1/customers/{id}         what is known of a customer
//	DELETE /v1/customers/{id}         erase it
//	GET    /openapi.json, /docs       all of this, for programs and for people
//	GET    /problems/{kind}           what an error means and what to do about it
//
// It promises that every 2xx is in the event log (I12), that an answer is written whole or not at all, and that each error
// is a problem (RFC 9457) which names the field or the rule and tells nothing about the inside. A POST that is given again
// with its Idempotency-Key has one effect and gets the same answer (draft-ietf-httpapi-idempotency-key-header). Answers
// about an order carry its version: as ETag, which If-Match and If-None-Match take, and with its id as Order-Version,
// "id@version".
//
// The types that requests are decoded into are what the OpenAPI document is made of (huma), and a request that does not fit
// its type is refused before a handler sees it: the document cannot say anything else than the program does.
//
// Who may ask is decided before it (package auth). It keeps keys of all callers in one space: a key should be random, e.g. a
// UUID.
// It knows neither relay nor topic.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// Config is what an API works with.
type Config struct {
	Pool    *pgxpool.Pool         // the orders database, for the menu
	Log     *eventlog.Log         // the orders
	Logger  *slog.Logger          // is told of each 5xx, once
	Metrics prometheus.Registerer // takes the API's metrics

	// InFlight is how many requests are worked on at once; more are answered 503. They share the pool's connections: far
	// above the pool's size, a busy API answers late instead of saying that it is busy.
	InFlight int
}

// patience is how long a request may take. It is longer than the event log's retries and shorter than the listener's
// write timeout, so that a caller is told how it ended.
const patience = 10 * time.Second

// New returns the handler of the API. It answers all paths, unknown ones with a problem.
func New(cfg Config) http.Handler { return open(cfg) }

func open(cfg Config) *api {
	a := &api{
		menu:     &menu{pool: cfg.Pool},
		log:      cfg.Log,
		logger:   cfg.Logger,
		metrics:  newMetrics(cfg.Metrics),
		inFlight: make(chan struct{}, cfg.InFlight),
		mux:      http.NewServeMux(),
	}
	a.huma = a.documented()
	a.registerCommands()
	a.registerOrders()
	a.registerMenu()
	a.registerCustomers()
	a.registerDocs()
	a.mux.Handle("/", a.edge("/", func(_ http.ResponseWriter, r *http.Request) { exchangeOf(r.Context()).err = a.unknown(r) }))
	a.mux.HandleFunc("GET /problems/{kind}", edge.Explain(kinds))
	return a
}

type api struct {
	menu     *menu
	log      *eventlog.Log
	logger   *slog.Logger
	metrics  *metrics
	inFlight chan struct{} // holds one element per request that is being worked on
	mux      *http.ServeMux
	huma     huma.API
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// register adds an operation. Its error is for the edge to tell; huma gets another one, which nobody sees.
func register[I, O any](a *api, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			exchangeOf(ctx).err = err
			return nil, new(told)
		}
		return out, nil
	})
}

// unknown is the error of what no other pattern matches: a path that is not there, or one that is there for other methods.
func (a *api) unknown(r *http.Request) error {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if allowed != nil {
		methods := strings.Join(allowed, ", ")
		return &problem{kind: methodNotAllowed, detail: r.Method + " is not allowed here, only " + methods, allow: methods}
	}
	return &problem{kind: notFound, detail: "there is nothing at this path: /docs has what there is"}
}
