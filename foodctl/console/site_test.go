package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// site is the page with a server behind it whose answers a test scripts.
type site struct {
	*httptest.Server
	chaos bool

	mu      sync.Mutex // guards what follows
	now     Snapshot
	past    []Point
	streams map[chan string]bool
	refused bool     // streams are, too
	asked   []string // requests to break something, with their bodies
}

// newSite serves the page, first with a snapshot and a history. Whoever connects is sent both, and what is pushed later: a
// test need not know whether the page has connected already.
func newSite(t testing.TB, now Snapshot, past []Point) *site {
	t.Helper()
	s := &site{now: now, past: past, chaos: true, streams: make(map[chan string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.Handle("GET /static/", staticFiles())
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /api/orders/{id}", s.order)
	mux.HandleFunc("POST /api/chaos/{verb}", s.breakIt)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	t.Cleanup(s.cut) // before Close, which waits for streams
	return s
}

func (s *site) page(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Security-Policy", csp)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v := view{Snapshot: s.now, Chaos: s.chaos, Targets: []string{"relay", "relay-2", "projector-1", "projector-2"}, Version: "v1.4.0"}
	if err := renderPage(w, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *site) events(w http.ResponseWriter, r *http.Request) {
	stream := make(chan string, 16)
	s.mu.Lock()
	refused := s.refused
	if !refused {
		s.streams[stream] = true
	}
	first := event("history", s.past) + event("snapshot", s.now)
	s.mu.Unlock()
	if refused {
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for message, open := first, true; open; {
		fmt.Fprint(w, message)
		_ = http.NewResponseController(w).Flush()
		select {
		case message, open = <-stream:
		case <-r.Context().Done():
			return
		}
	}
}

func event(name string, data any) string {
	body, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("event: %s\nretry: 100\ndata: %s\n\n", name, body)
}

// push sends a snapshot to every page that listens.
func (s *site) push(now Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
	s.past = append(s.past, now.point())
	for stream := range s.streams {
		stream <- event("snapshot", now)
	}
}

// cut ends every stream.
func (s *site) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.streams {
		close(stream)
		delete(s.streams, stream)
	}
}

// refuse says whether new streams are refused.
func (s *site) refuse(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = yes
}

func (s *site) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, "\n")
}

func (s *site) order(w http.ResponseWriter, r *http.Request) {
	id := uuid.MustParse(r.PathValue("id"))
	answer := lifeOf(id)
	switch id {
	case orderID(999):
		problem(w, http.StatusNotFound, "There is no such order in the outbox.")
		return
	case orderID(998):
		answer = halfKnown(id)
	case orderID(997):
		answer = replaced(id)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *site) breakIt(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer secret" {
		problem(w, http.StatusUnauthorized, "The token is not the one of this run.")
		return
	}
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	text := fmt.Sprint(r.PathValue("verb"), " ", body)
	s.mu.Lock()
	s.asked = append(s.asked, text)
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]string{"text": text})
}

func problem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"title": http.StatusText(code), "detail": detail})
}
