package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// maxBody is how long a request's body may be, in bytes. The largest valid one, an order of order.MaxLines lines, has 3 kB.
const maxBody = 64 << 10

// answer is a 2xx.
type answer struct {
	code     int
	order    uuid.UUID // what the answer is about; Nil for none
	version  int64     // the order's, as the answer shows it
	placed   bool      // the request made the order
	replayed bool      // an earlier request with the same key did it
	body     any       // encoded as JSON
}

// edge puts a handler between the checks that every request passes and the writing of its answer.
func (a *api) edge(route string, h handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun, id := time.Now(), edge.Begin(w)
		ans, err := answer{}, crossOrigin.Check(r)
		if err != nil {
			err = &problem{kind: forbidden, detail: "a page of another origin must not do this"}
		} else {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			ans, err = a.admitted(withRequestID(r, id), h)
		}
		code := a.write(w, r, ans, err)
		a.metrics.observe(route, code, time.Since(begun))
	})
}

// admitted does the request unless too many are being done.
func (a *api) admitted(r *http.Request, h handler) (_ answer, err error) {
	select {
	case a.inFlight <- struct{}{}:
		defer func() { <-a.inFlight }()
	default:
		return answer{}, &problem{kind: busy, detail: fmt.Sprintf("%d requests are being worked on", cap(a.inFlight))}
	}
	defer edge.Recovered(&err)
	// Whoever hangs up does not cut a command off in its commit: it would cost a connection and leave the outcome open.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	return h(ctx, r)
}

// write encodes the answer or the error and sends it. It returns the status code.
func (a *api) write(w http.ResponseWriter, r *http.Request, ans answer, err error) int {
	var body bytes.Buffer
	if err == nil {
		err = json.NewEncoder(&body).Encode(ans.body)
	}
	if err != nil {
		return a.writeProblem(w, r, err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if ans.order != uuid.Nil {
		h.Set("ETag", strconv.Quote(strconv.FormatInt(ans.version, 10)))
		h.Set("Order-Version", fmt.Sprintf("%s@%d", ans.order, ans.version))
	}
	if ans.placed {
		h.Set("Location", "/v1/orders/"+ans.order.String())
	}
	if ans.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	edge.Send(w, ans.code, &body)
	return ans.code
}

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

type requestID struct{}

func withRequestID(r *http.Request, id string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), requestID{}, id))
}
