package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// The problems that a request may meet.
var (
	notFound    = edge.Lasting("not-found", http.StatusNotFound, "Not found", "Nothing is there under this address.")
	malformed   = edge.Lasting("malformed", http.StatusBadRequest, "Malformed request", "The detail says what is expected.")
	forbidden   = edge.Lasting("forbidden", http.StatusForbidden, "Forbidden", "Things are broken only from the machine that the console runs on, with the token that foodctl up --allow-chaos prints, and only if it was started so.")
	misdirected = edge.Lasting("misdirected", http.StatusMisdirectedRequest, "Wrong host", "Reach the console by localhost or by an IP address, through a tunnel if it runs elsewhere.")
	unavailable = edge.Passing("unavailable", http.StatusServiceUnavailable, "Not available now", "What has to be asked does not answer; the page says which place.")
	unbroken    = edge.Passing("not-broken", http.StatusConflict, "It could not be broken", "The detail says why: a program that is down cannot be killed.")
)

// Handler serves the page, what it needs, and the health of the console.
func (c *Console) Handler(reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", ops.Public(reg, c.health))
	mux.HandleFunc("GET /{$}", c.servePage)
	mux.Handle("GET /static/", staticFiles())
	mux.HandleFunc("GET /events", c.events)
	mux.HandleFunc("GET /api/snapshot", c.serveSnapshot)
	mux.HandleFunc("GET /api/orders/{id}", c.serveOrder)
	mux.HandleFunc("GET /problems/{kind}", edge.Explain([]edge.Kind{notFound, malformed, forbidden, misdirected, unavailable, unbroken}))
	mux.HandleFunc("POST /api/chaos/{verb}", c.serveChaos)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		edge.Begin(w)
		if auth.Caller(r.Context()) == "" && !edge.Here(r.Host) {
			refuse(w, misdirected, "%q is not how this console is reached: use localhost or an address", r.Host)
			return
		}
		w.Header().Set("Content-Security-Policy", csp)
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, k edge.Kind, format string, args ...any) {
	edge.Refuse(w, k, k.Document(fmt.Sprintf(format, args...), edge.ID(w)))
}

func (c *Console) servePage(w http.ResponseWriter, _ *http.Request) {
	v := view{Chaos: c.cfg.Breaker != nil, Targets: c.cfg.Targets, Version: ops.Version()}
	if s := c.hub.snapshot(); s != nil {
		v.Snapshot = *s
	}
	var body bytes.Buffer
	if err := renderPage(&body, v); err != nil {
		c.cfg.Log.Error("page not rendered", "err", err)
		refuse(w, unavailable, "the page cannot be shown")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	edge.Send(w, http.StatusOK, &body)
}

func sendJSON(w http.ResponseWriter, v any) {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(v); err != nil {
		panic(fmt.Sprintf("encode an answer: %v", err)) // our own types
	}
	w.Header().Set("Content-Type", "application/json")
	edge.Send(w, http.StatusOK, &body)
}

func (c *Console) serveSnapshot(w http.ResponseWriter, _ *http.Request) {
	s := c.hub.snapshot()
	if s == nil {
		refuse(w, unavailable, "the first look is not over yet")
		return
	}
	sendJSON(w, s)
}

func (c *Console) serveOrder(w http.ResponseWriter, r *http.Request) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		refuse(w, malformed, "%q is no id of an order, which is a UUID", r.PathValue("id"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	l, err := c.lives.Read(ctx, id)
	switch {
	case errors.Is(err, life.ErrUnknown):
		refuse(w, notFound, "there is no order %s", id)
	case err != nil:
		refuse(w, unavailable, "order %s: %v", id, err)
	default:
		sendJSON(w, l)
	}
}

// writeTimeout is how long a browser may take for a message before its stream is cut off.
const writeTimeout = 10 * time.Second

// events tells one browser of every snapshot, by server-sent events (WHATWG HTML, section 9.2).
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	st, points := c.hub.join()
	if st == nil {
		refuse(w, unavailable, "the console is stopping")
		return
	}
	defer c.hub.leave(st)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead { // who asks so takes the connection for free again
		return
	}
	send := func(kind string, number int64, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		control := http.NewResponseController(w)
		if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", strconv.FormatInt(number, 10), kind, data); err != nil {
			return err
		}
		return control.Flush()
	}
	if _, err := w.Write([]byte("retry: 1000\n")); err != nil || send("history", int64(len(points)), points) != nil {
		return
	}
	for {
		select {
		case s := <-st.next:
			if send("snapshot", s.Number, s) != nil {
				return
			}
		case <-st.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}
