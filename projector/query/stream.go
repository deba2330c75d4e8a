package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// stream is a client that follows the changes of a subject, as server-sent events (WHATWG HTML, section 9.2).
//
// It promises each change that becomes visible behind its position at least once, those of an order in their order. It reads
// the database to its end, joins the hub, reads once more what has come in between, and then lives on what the hub gives.
// Each event's id is the position behind it: who comes again with the last id that he has got goes on there, anywhere.
type stream struct {
	api     *API
	subject subject
	out     http.ResponseWriter
	control *http.ResponseController

	// position is behind all changes that have been written, and of no partition behind one that has not.
	position position
	buffer   bytes.Buffer // what is to be written next
}

// Why a stream ends.
var (
	errClient   = errors.New("client")
	errSlow     = errors.New("slow")
	errShutdown = errors.New("shutdown")
)

// writeLimit is how long a client may take to make room for what is written to it.
const writeLimit = 10 * time.Second

// follows serves the changes of a subject. It returns when the client is gone or cut off.
func (a *API) follows(of func(*http.Request) (subject, error)) func(http.ResponseWriter, *http.Request) int {
	return func(w http.ResponseWriter, r *http.Request) (code int) {
		select {
		case a.streams <- struct{}{}:
			defer func() { <-a.streams }()
		default:
			return a.refuse(w, r, &problem{kind: busy, detail: fmt.Sprintf("%d clients follow changes", cap(a.streams))})
		}
		s, err := a.subscribe(w, r, of)
		if err != nil {
			return a.refuse(w, r, err)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no") // nginx would gather events
		if r.Method == http.MethodHead {
			return http.StatusOK
		}
		a.metrics.open.Inc()
		defer a.metrics.open.Dec()
		err = s.run(r.Context())
		switch {
		case errors.Is(err, errShutdown), errors.Is(err, errSlow), errors.Is(err, errClient):
			a.metrics.ended.WithLabelValues(err.Error()).Inc()
		default:
			a.metrics.ended.WithLabelValues("database").Inc()
		}
		return http.StatusOK
	}
}

// subscribe finds out from where on whom to follow: behind Last-Event-ID, which an EventSource that comes again has, else
// behind the parameter after, else from now on. It waits for what is to be read after.
func (a *API) subscribe(w http.ResponseWriter, r *http.Request, of func(*http.Request) (subject, error)) (_ *stream, err error) {
	defer edge.Recovered(&err)
	req, err := understand(r, []string{"after"})
	if err != nil {
		return nil, err
	}
	s := &stream{api: a, out: w, control: http.NewResponseController(w)}
	if s.subject, err = of(r); err != nil {
		return nil, err
	}
	in, name, from := "query", "after", req.values["after"]
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		in, name, from = "header", "Last-Event-ID", id
	}
	var ok bool
	if s.position, ok = parsePosition(from); !ok && from != "" {
		return nil, refused(in, name, "position", name+" is the id of an event, or the position in the as_of of an answer")
	}
	req.extend(s.control)
	now, err := a.read(r.Context(), req, func(*pgx.Batch) {})
	if err != nil {
		return nil, err
	}
	if from == "" {
		s.position = now.AsOf.Position
	}
	_ = s.control.SetReadDeadline(time.Time{}) // nothing more is read, and the listener's limit would end the request
	return s, nil
}

func changesOfOrder(r *http.Request) (subject, error) {
	id, err := orderOf(r)
	return subject{order: id}, err
}

func changesOfCustomer(r *http.Request) (subject, error) {
	id, err := customerOf(r)
	return subject{customer: id}, err
}

// run follows until ctx or the API ends, the client is slow, or the database does not answer.
func (s *stream) run(ctx context.Context) error {
	fmt.Fprintf(&s.buffer, "retry: %d\nid: %s\n\n", time.Second.Milliseconds(), s.position) // an id alone is no event, but is kept
	end, err := s.catchUp(ctx, position{})
	if err != nil {
		return err
	}
	hub := s.api.hub
	place, begins := hub.join(s.subject, end, func() { _ = s.control.SetWriteDeadline(time.Unix(1, 0)) })
	defer hub.leave(place)
	if _, err := s.catchUp(ctx, begins); err != nil {
		return err
	}
	return s.live(ctx, place)
}

// catchUp writes the changes that the database has behind the position, at least up to until, and returns how far the read
// model has come. A standby that is behind another, which has been asked before, may have to be waited for.
func (s *stream) catchUp(ctx context.Context, until position) (end position, err error) {
	for {
		p, err := s.read(ctx)
		if err != nil {
			return end, err
		}
		if s.position.counts(p.end) {
			s.add(p.changes)
			s.position = s.position.joined(p.reached)
		} else {
			s.restart(p.end)
		}
		if err := s.flush(); err != nil {
			return end, err
		}
		switch {
		case !p.last():
			continue
		case s.position.covers(until) || !until.counts(s.position):
			return p.end, nil
		}
		if ops.Sleep(ctx, interval) != nil {
			return end, errClient
		}
	}
}

// read reads a page, as one of not too many: those who have been away for long must not take all connections.
func (s *stream) read(ctx context.Context) (page, error) {
	select {
	case s.api.catchUps <- struct{}{}:
		defer func() { <-s.api.catchUps }()
	case <-ctx.Done():
		return page{}, errClient
	case <-s.api.done:
		return page{}, errShutdown
	}
	return s.api.reader.changesOf(ctx, s.subject, s.position)
}

// live writes what the hub gives.
func (s *stream) live(ctx context.Context, place *listener) error {
	beat := time.NewTicker(s.api.heartbeat)
	defer beat.Stop()
	for {
		quiet := false
		select {
		case <-ctx.Done():
			return errClient
		case <-s.api.done:
			return errShutdown
		case <-place.wake:
		case <-beat.C:
			quiet = true
		}
		t := s.api.hub.take(place)
		switch {
		case t.slow:
			return errSlow
		case t.anew:
			s.restart(t.position)
		}
		if s.position.counts(t.position) { // else the hub has yet to find that the read model is another
			s.add(t.changes)
			s.position = s.position.joined(t.position)
		}
		if quiet && s.buffer.Len() == 0 {
			fmt.Fprintf(&s.buffer, ":\nid: %s\n\n", s.position)
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// add puts changes into the buffer, those that the client does not have.
func (s *stream) add(changes []change) {
	for _, c := range changes {
		if c.Position <= s.position.applied[c.Part] {
			continue
		}
		s.position = s.position.advanced(c.Part, c.Position)
		s.event("change", c)
	}
}

// restart tells that the read model was made anew, of this or another topic. Which of its changes the client knows cannot be
// told: it has to read again what it follows.
func (s *stream) restart(at position) {
	s.position = at
	s.event("reset", map[string]string{"reason": "the read model was made anew: read again what you follow"})
}

func (s *stream) event(name string, data any) {
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("query: encode an event: %v", err)) // it is made of strings and numbers
	}
	fmt.Fprintf(&s.buffer, "id: %s\nevent: %s\ndata: %s\n\n", s.position, name, encoded)
	if name == "change" {
		s.api.metrics.changes.Inc()
	}
}

// flush writes the buffer to the client.
func (s *stream) flush() error {
	if s.buffer.Len() == 0 {
		return nil
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(writeLimit)) // a test's recorder has none
	_, err := s.out.Write(s.buffer.Bytes())
	s.buffer.Reset()
	if err == nil {
		err = s.control.Flush()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	case err != nil:
		return errClient
	}
	return nil
}
