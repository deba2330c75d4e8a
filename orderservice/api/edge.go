package api

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// exchange is a request that is being answered.
type exchange struct {
	id      string        // the request's own id
	request *http.Request // its headers and its path; the body was read
	err     error         // why it fails, if it does
}

type exchangeKey struct{}

// exchangeOf returns the exchange that a handler or huma works for.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// Handle implements huma.Adapter: each operation is behind the edge.
func (a *api) Handle(op *huma.Operation, h func(huma.Context)) {
	pattern := op.Method + " " + op.Path
	a.mux.Handle(pattern, a.edge(pattern, func(w http.ResponseWriter, r *http.Request) {
		h(humago.NewContext(op, r, w))
	}))
}

// edge puts a handler between the checks that every request passes and the writing of its answer.
//
// The handler writes into memory. What it wrote is sent when it has ended without an error; else only the problem is.
func (a *api) edge(route string, h http.HandlerFunc) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		x := &exchange{id: edge.Begin(w), request: r}
		answer := &memory{header: make(http.Header), code: http.StatusOK}
		err := trusted(r, crossOrigin)
		if err == nil {
			err = understood(w, r) // before it takes a place: a body may come slowly
		}
		if err == nil {
			err = a.admitted(r.Context(), x, func(r *http.Request) { h(answer, r) })
		}
		code := answer.code
		if err != nil {
			code = a.writeProblem(w, r, err)
		} else {
			maps.Copy(w.Header(), answer.header)
			if r.Method != http.MethodPost && answer.header.Get("ETag") != "" {
				w.Header().Set("Cache-Control", "no-cache") // it may be kept, and is asked for with If-None-Match
			}
			edge.Send(w, code, &answer.body)
		}
		a.metrics.observe(route, code, time.Since(begun))
	})
}

// trusted refuses what a page of somebody else may have a browser ask: of another origin, or of its own, whose name leads to
// this machine (DNS rebinding). Whoever has shown a token may use any name, and beyond the loopback so may everybody.
func trusted(r *http.Request, crossOrigin *http.CrossOriginProtection) error {
	if crossOrigin.Check(r) != nil {
		return &problem{kind: forbidden, detail: "a page of another origin must not do this"}
	}
	if auth.Caller(r.Context()) == "" && edge.Rebound(r) {
		return &problem{kind: misdirected, detail: fmt.Sprintf("%q is not how this machine's API is reached without a token: use localhost or an address", r.Host)}
	}
	return nil
}

// admitted does the request unless too many are being done.
func (a *api) admitted(ctx context.Context, x *exchange, do func(*http.Request)) (err error) {
	select {
	case a.inFlight <- struct{}{}:
		defer func() { <-a.inFlight }()
	default:
		return &problem{kind: busy, detail: fmt.Sprintf("%d requests are being worked on", cap(a.inFlight))}
	}
	defer edge.Recovered(&err)
	// Whoever hangs up does not cut a command off in its commit: it would cost a connection and leave the outcome open.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	do(x.request.WithContext(context.WithValue(ctx, exchangeKey{}, x)))
	return x.err
}

// memory is an answer that is not sent yet.
type memory struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (m *memory) Header() http.Header { return m.header }

// WriteHeader implements http.ResponseWriter.
func (m *memory) WriteHeader(code int) { m.code = code }

// Write implements http.ResponseWriter.
func (m *memory) Write(p []byte) (int, error) { return m.body.Write(p) }

func (a *api) writeProblem(w http.ResponseWriter, r *http.Request, err error) int {
	id := edge.ID(w)
	p := problemOf(err)
	if p.kind.Status >= http.StatusInternalServerError {
		a.logger.Warn("request answered with a server error", "request_id", id, "method", r.Method, "path", r.URL.Path, "status", p.kind.Status, "err", err)
	}
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	edge.Refuse(w, p.kind, p.document(id))
	return p.kind.Status
}
