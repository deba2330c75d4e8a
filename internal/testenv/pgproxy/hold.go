package pgproxy

import (
	"slices"
	"strings"
	"sync"
)

// Point is a place on an exchange's way.
type Point int

// The points.
const (
	Request Point = iota // the client has sent it, and the server has none of it
	Commit               // the server has carried out all of it but the COMMIT at its end, which it has not got
	Answer               // the server has answered, and the client does not know
)

// Exchange is a request, up to its Sync or a simple query, and its answer.
type Exchange struct {
	SQL []string // the statements that it executes, in their order

	// Tags are what the server answered to the statements so far, as "UPDATE 1", or "ERROR 55P03". They are to be read when the
	// exchange is held at Answer, or done.
	Tags []string

	request    []byte
	last, next int  // where in request the messages of the last statement begin, and end
	began      bool // the server has begun to answer
	done       chan struct{}
}

// Ends reports whether the last of several statements is this one.
func (x *Exchange) Ends(statement string) bool {
	return len(x.SQL) > 1 && strings.EqualFold(x.SQL[len(x.SQL)-1], statement)
}

// Has reports whether a statement has the text in it.
func (x *Exchange) Has(text string) bool {
	return slices.ContainsFunc(x.SQL, func(sql string) bool { return strings.Contains(sql, text) })
}

// Hold is an exchange that is stopped at a point, or is to be. What is said before that is done then.
type Hold struct {
	at    Point
	match func(*Exchange) bool

	reached chan struct{}
	decided chan struct{}
	decide  sync.Once
	cut     bool // set before decided is closed

	mu     sync.Mutex // guards what follows
	orphan bool       // the client is to be, or has been, cut off
	client func()     // cuts it off; nil before the point is reached
	x      *Exchange
	pid    int32
}

// Hold stops the next exchange that match accepts when it is at the point. Each exchange is asked about once for each hold, in the
// order in which they come; of several holds the first made has it.
func (p *Proxy) Hold(at Point, match func(*Exchange) bool) *Hold {
	h := &Hold{at: at, match: match, reached: make(chan struct{}), decided: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds = append(p.holds, h)
	return h
}

// Reached is closed when an exchange is stopped at the point.
func (h *Hold) Reached() <-chan struct{} { return h.reached }

// Done is closed when the exchange, which must have been reached, is answered as a whole, or the server has hung up.
func (h *Hold) Done() <-chan struct{} { return h.Exchange().done }

// Exchange is what was reached.
func (h *Hold) Exchange() *Exchange {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.x
}

// PID is the server process that has the exchange.
func (h *Hold) PID() int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pid
}

// Release lets the exchange go on.
func (h *Hold) Release() { h.decide.Do(func() { close(h.decided) }) }

// Cut breaks the connections to both sides, and what is held is lost.
func (h *Hold) Cut() {
	h.decide.Do(func() {
		h.cut = true
		close(h.decided)
	})
}

// CutClient breaks the connection to the client. What is held is still on its way.
func (h *Hold) CutClient() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.orphan = true
	if h.client != nil {
		h.client()
	}
}

// stop waits for the decision about the exchange, and reports whether it goes on.
func (h *Hold) stop(s *session, x *Exchange) bool {
	h.mu.Lock()
	h.x, h.pid = x, s.pid.Load()
	h.client = func() { s.orphan(h.pid, s.client) }
	if h.orphan {
		h.client()
	}
	h.mu.Unlock()
	close(h.reached)
	select {
	case <-h.decided:
		return !h.cut
	case <-s.closed:
		return false
	}
}

// held returns the hold that the exchange is to be stopped by, or nil.
func (p *Proxy) held(at Point, x *Exchange) *Hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.holds, func(h *Hold) bool { return h.at == at && h.match(x) })
	if i < 0 {
		return nil
	}
	h := p.holds[i]
	p.holds = slices.Delete(p.holds, i, i+1)
	return h
}
