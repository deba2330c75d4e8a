package query

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// hub hands the changes, as they become visible, to those who listen. While anybody does, it reads each change once for all
// of them. It never waits for a listener: one that does not take what is its own in time is cut off, and reads it from the
// database when it comes again.
type hub struct {
	reader reader
	logger *slog.Logger
	came   chan struct{} // holds an element when there is a listener after there was none

	mu        sync.Mutex // guards all below, and the listeners' queues
	listeners map[subject]map[*listener]struct{}

	// position is up to where the listeners have been given the changes. It means nothing without listeners.
	position position
}

// listener is one client's place at the hub.
type listener struct {
	subject subject
	wake    chan struct{} // holds an element when there is something to take
	cut     func()        // ends a write that hangs; does not block

	// The hub's mu guards what follows.
	queue []change // len(queue) <= backlog
	slow  bool     // the queue would have been longer: it was dropped, and nothing follows
	anew  bool     // the read model was made anew: what was before is not known any more
}

const (
	// backlog is how many changes wait for one client at most: some 300 kB.
	backlog = 1000

	// interval is the pause between two looks for changes.
	interval = 25 * time.Millisecond
	// retry is the pause after one that failed.
	retry = time.Second
)

func newHub(r reader, log *slog.Logger) *hub {
	return &hub{reader: r, logger: log, came: make(chan struct{}, 1), listeners: make(map[subject]map[*listener]struct{})}
}

// run follows the changes for as long as anybody listens, until ctx ends.
func (h *hub) run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		from, wanted := h.next()
		if !wanted {
			select {
			case <-ctx.Done():
			case <-h.came:
			}
			continue
		}
		p, err := h.reader.changesOf(ctx, subject{}, from)
		pause := interval
		switch {
		case err != nil:
			pause = retry
			if !failing {
				h.logger.WarnContext(ctx, "changes not read, trying again", "err", err)
			}
		case failing:
			h.logger.InfoContext(ctx, "changes are read again")
		}
		failing = err != nil
		if err == nil {
			h.deliver(from, p)
			if !p.last() {
				continue
			}
		}
		_ = ops.Sleep(ctx, pause) // the loop sees that ctx has ended
	}
	return nil
}

// next is where to read on, if anybody wants it.
func (h *hub) next() (from position, wanted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.position, len(h.listeners) > 0
}

// deliver hands out a page that was read from a position. It is of no use if a first listener has meanwhile set another one.
func (h *hub) deliver(from position, p page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !from.equal(h.position) {
		return
	}
	if !from.counts(p.end) {
		h.restart(p.end)
		return
	}
	for _, c := range p.changes {
		h.give(subject{order: c.Order}, c)
		h.give(subject{customer: c.Customer}, c)
	}
	h.position = p.reached
}

func (h *hub) give(s subject, c change) {
	for l := range h.listeners[s] {
		if l.slow || l.anew {
			continue
		}
		if len(l.queue) == backlog {
			l.slow, l.queue = true, nil
			l.cut()
		} else {
			l.queue = append(l.queue, c)
		}
		l.signal()
	}
}

// restart goes on at the end of a read model that was made anew, and tells everybody.
func (h *hub) restart(end position) {
	h.position = end
	for _, all := range h.listeners {
		for l := range all {
			l.anew, l.queue = true, nil
			l.signal()
		}
	}
}

func (l *listener) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// join makes a place that is given all changes from the returned position on. The first listener decides where that is: at
// end, up to where he has just found the read model.
func (h *hub) join(s subject, end position, cut func()) (_ *listener, begins position) {
	l := &listener{subject: s, wake: make(chan struct{}, 1), cut: cut}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) == 0 {
		h.position = end
		select {
		case h.came <- struct{}{}:
		default:
		}
	}
	if h.listeners[s] == nil {
		h.listeners[s] = make(map[*listener]struct{})
	}
	h.listeners[s][l] = struct{}{}
	return l, h.position
}

// leave takes a listener's place away. It may be called again.
func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners[l.subject], l)
	if len(h.listeners[l.subject]) == 0 {
		delete(h.listeners, l.subject)
	}
}

// taken is what a listener has got since he last took something.
type taken struct {
	changes    []change
	position   position // he has been given all changes before it
	slow, anew bool
}

// take empties a listener's queue.
func (h *hub) take(l *listener) taken {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := taken{l.queue, h.position, l.slow, l.anew}
	l.queue, l.anew = nil, false
	return t
}
