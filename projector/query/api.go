// Package query answers questions about the read model over HTTP, and tells of its changes as they come.
//
//	GET /v1/orders/{id}             an order as it is; with at_version or at, as it was
//	GET /v1/orders/{id}/timeline    what happened to it, in pages
//	GET /v1/orders/{id}/changes     what happens to it, as server-sent events
//	GET /v1/customers/{id}/orders   a customer's orders, the newest first, in pages
//	GET /v1/customers/{id}/stats    their number, and what they came to
//	GET /v1/customers/{id}/changes  what happens to them, as server-sent events
//	GET /v1/kitchen                 the orders in the kitchen, the oldest promise first, in pages
//	GET /v1/items/popular           what is ordered most
//	GET /v1/revenue                 what came in, by the minute
//	GET /problems/{kind}            what an error means and what to do about it
//
// It promises that an answer is read in one snapshot and says which events that holds (as_of) and which a sum leaves out
// (excluded); that an answer to a request with Read-After holds the versions which that names, or says that it does not;
// and that who follows changes gets each at least once and those of an order in their order, over as many reconnections as
// it takes. The last two rest on I8: what an event changes, its row of the timeline and the offset become visible at once.
//
// It reads the database and nothing else, so it does not know how far the topic has gone on. It keeps nothing: any number
// of processes may serve. It does not know who the caller is.
package query

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// Config is what an API works with.
type Config struct {
	Pool    *pgxpool.Pool         // the readmodel database
	Topic   string                // of the events that the read model is made of
	Logger  *slog.Logger          // is told of each 5xx, once
	Metrics prometheus.Registerer // takes the API's metrics

	// InFlight is how many requests are worked on at once, those that wait for a version included; more are answered 503.
	InFlight int

	// Streams is how many clients may follow changes at once; more are answered 503. Each takes some 60 kB.
	Streams int

	// Heartbeat is after how much silence a stream says that it lives, and up to where it has come. Proxies cut off what is
	// silent, many of them after a minute.
	Heartbeat time.Duration
}

// patience is how long one look into the database may take.
const patience = 10 * time.Second

// mostCatchUps is how many streams may read the database at once; the other connections are for answers.
const mostCatchUps = 4

// API answers. It is safe for concurrent use.
type API struct {
	mux      *http.ServeMux
	reader   reader
	arrivals *arrivals
	hub      *hub
	logger   *slog.Logger
	metrics  *metrics

	heartbeat time.Duration
	inFlight  chan struct{} // holds one element per request that is being worked on
	streams   chan struct{} // one per stream
	catchUps  chan struct{} // and one per stream that reads the database
	done      chan struct{} // closed when Run ends
}

// New makes an API. It answers all paths, unknown ones with a problem. Nobody who waits or follows gets anything before Run.
func New(cfg Config) *API {
	read := reader{pool: cfg.Pool, topic: cfg.Topic}
	a := &API{
		mux: http.NewServeMux(), reader: read, arrivals: newArrivals(read), hub: newHub(read, cfg.Logger), logger: cfg.Logger,
		metrics: newMetrics(cfg.Metrics), heartbeat: cfg.Heartbeat,
		inFlight: make(chan struct{}, cfg.InFlight), streams: make(chan struct{}, cfg.Streams),
		catchUps: make(chan struct{}, mostCatchUps), done: make(chan struct{}),
	}
	for pattern, r := range map[string]route{
		"GET /v1/orders/{id}":           {a.order, []string{"at", "at_version"}},
		"GET /v1/orders/{id}/timeline":  {a.timeline, []string{"after", "limit"}},
		"GET /v1/customers/{id}/orders": {a.ordersOf, []string{"cursor", "fulfilment", "limit"}},
		"GET /v1/customers/{id}/stats":  {a.statsOf, nil},
		"GET /v1/kitchen":               {a.kitchen, []string{"cursor", "limit"}},
		"GET /v1/items/popular":         {a.popular, []string{"from", "limit", "to"}},
		"GET /v1/revenue":               {a.revenue, []string{"from", "to"}},
	} {
		a.mux.Handle(pattern, a.edge(pattern, a.answers(pattern, r)))
	}
	for pattern, of := range map[string]func(*http.Request) (subject, error){
		"GET /v1/orders/{id}/changes":    changesOfOrder,
		"GET /v1/customers/{id}/changes": changesOfCustomer,
	} {
		a.mux.Handle(pattern, a.edge(pattern, a.follows(of)))
	}
	a.mux.Handle("/", a.edge("/", a.unknown))
	a.mux.HandleFunc("GET /problems/{kind}", edge.Explain(kinds))
	return a
}

// Run watches the database for those who wait and follow, until ctx ends; then it ends their requests and returns nil. It is
// called once.
func (a *API) Run(ctx context.Context) error {
	defer close(a.done)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.arrivals.run(ctx) })
	g.Go(func() error { return a.hub.run(ctx) })
	return g.Wait()
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// route is how requests are answered, and the parameters that they may have beside read_after.
type route struct {
	handler    handler
	parameters []string
}

// handler does a request. It writes nothing itself: the edge encodes the answer or the error, and only then begins to
// write.
type handler func(ctx context.Context, r *request) (answer, error)

// unknown is asked for what no other pattern matches: a path that is not there, or one that is there for GET alone.
func (a *API) unknown(w http.ResponseWriter, r *http.Request) int {
	other := &http.Request{Method: http.MethodGet, URL: r.URL, Host: r.Host}
	if _, pattern := a.mux.Handler(other); pattern != "/" {
		return a.refuse(w, r, &problem{kind: methodNotAllowed, detail: r.Method + " is not allowed here, only GET", allow: http.MethodGet})
	}
	return a.refuse(w, r, &problem{kind: notFound, detail: "there is nothing at this path"})
}
