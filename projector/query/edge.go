package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// answer is a 200.
type answer struct {
	body    any    // encoded as JSON
	version string // what the answer shows of an order, "id@version"; empty for none
	next    string // where the next page is; empty for the last one
}

// edge is what every request passes. What is within returns the status code. A page of somebody else whose name leads to this
// machine (DNS rebinding) does not get there.
func (a *API) edge(route string, within func(http.ResponseWriter, *http.Request) int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		edge.Begin(w)
		code := a.misled(w, r)
		if code == 0 {
			code = within(w, r)
		}
		a.metrics.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
	})
}

// misled refuses a request that has come here by a name that a stranger's page has, and returns the status code; 0 for any other.
func (a *API) misled(w http.ResponseWriter, r *http.Request) int {
	if auth.Caller(r.Context()) != "" || !edge.Rebound(r) {
		return 0
	}
	return a.refuse(w, r, &problem{kind: misdirected, detail: fmt.Sprintf("%q is not how this machine is asked without a token: use localhost or an address", r.Host)})
}

// answers gives requests to a handler and writes what comes of it.
func (a *API) answers(pattern string, to route) func(http.ResponseWriter, *http.Request) int {
	return func(w http.ResponseWriter, r *http.Request) int {
		begun := time.Now()
		defer func() { a.metrics.seconds.WithLabelValues(pattern).Observe(time.Since(begun).Seconds()) }()
		req, err := understand(r, to.parameters)
		if err != nil {
			return a.refuse(w, r, err)
		}
		req.extend(http.NewResponseController(w))
		ans, err := a.admitted(r.Context(), req, to.handler)
		if err != nil {
			return a.refuse(w, r, err)
		}
		return a.write(w, r, req, ans)
	}
}

// admitted does the request unless too many are being done.
func (a *API) admitted(ctx context.Context, r *request, h handler) (_ answer, err error) {
	select {
	case a.inFlight <- struct{}{}:
		defer func() { <-a.inFlight }()
	default:
		return answer{}, &problem{kind: busy, detail: fmt.Sprintf("%d requests are being worked on", cap(a.inFlight))}
	}
	defer edge.Recovered(&err)
	return h(ctx, r)
}

// write encodes the answer and sends it.
func (a *API) write(w http.ResponseWriter, r *http.Request, req *request, ans answer) int {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(ans.body); err != nil {
		return a.refuse(w, r, err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if ans.version != "" {
		h.Set("Order-Version", ans.version)
	}
	if ans.next != "" {
		h.Set("Link", "<"+ans.next+`>; rel="next"`)
	}
	if len(req.applied) > 0 {
		h.Set("Preference-Applied", strings.Join(req.applied, ", "))
	}
	edge.Send(w, http.StatusOK, &body)
	return http.StatusOK
}

// refuse sends the problem that an error is, and returns its status code.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) int {
	id := edge.ID(w)
	p := problemOf(err)
	if p.kind.Status >= http.StatusInternalServerError && p.kind.Name != notYet.Name {
		a.logger.WarnContext(context.WithoutCancel(r.Context()), "question answered with a server error",
			"request_id", id, "method", r.Method, "path", r.URL.Path, "status", p.kind.Status, "err", err)
	}
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	edge.Refuse(w, p.kind, p.document(id))
	return p.kind.Status
}
