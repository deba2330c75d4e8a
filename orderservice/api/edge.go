package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
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
		begun, id := time.Now(), newID()
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
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
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
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
	send(w, ans.code, &body)
	return ans.code
}

func (a *api) writeProblem(w http.ResponseWriter, r *http.Request, err error) int {
	id := w.Header().Get("X-Request-Id")
	p := problemOf(err)
	if p.kind.status >= http.StatusInternalServerError {
		a.logger.Warn("request answered with a server error", "request_id", id, "method", r.Method, "path", r.URL.Path, "status", p.kind.status, "err", err)
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(p.document(id)); err != nil {
		panic(fmt.Sprintf("api: encode a problem: %v", err)) // it is made of strings and numbers
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.kind.retry {
		h.Set("Retry-After", "1")
	}
	send(w, p.kind.status, &body)
	return p.kind.status
}

func send(w http.ResponseWriter, code int, body *bytes.Buffer) {
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(code)
	_, _ = w.Write(body.Bytes()) // the caller hung up; the answer is in the log, and a key gets it again
}

type requestID struct{}

func withRequestID(r *http.Request, id string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), requestID{}, id))
}

// newID is a fresh id that sorts by time (RFC 9562, version 7).
func newID() string {
	return uuid.Must(uuid.NewV7()).String() // fails only if the system has no randomness
}
