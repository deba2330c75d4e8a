package console

import "sync"

// kept is how many points the chart has: five minutes.
const kept = 300

// hub tells every stream of the newest snapshot. One that is slow misses snapshots, and holds up nobody.
type hub struct {
	mu      sync.Mutex // guards what follows
	newest  *Snapshot
	points  []Point
	marks   []Mark // that are to be in the next snapshot
	streams map[*stream]bool
	closed  bool
}

// stream is one browser's. It holds the newest snapshot that it has not taken yet, or nothing.
type stream struct {
	next chan *Snapshot // of size 1
	end  chan struct{}  // closed by the hub
}

func newHub() *hub { return &hub{streams: make(map[*stream]bool)} }

// publish makes the snapshot the newest one, with the marks that have come since.
func (h *hub) publish(s *Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Marks = append(s.Marks, h.marks...)
	h.marks = nil
	h.newest = s
	h.points = append(h.points, s.point())
	if extra := len(h.points) - kept; extra > 0 {
		h.points = append(h.points[:0], h.points[extra:]...)
	}
	for st := range h.streams {
		select {
		case <-st.next: // what it has not taken is old now
		default:
		}
		st.next <- s // there is room: only publish fills it, under mu
	}
}

// mark lets the next snapshot have a mark.
func (h *hub) mark(m Mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.marks = append(h.marks, m)
}

// join makes a stream, with the points up to its first snapshot. It returns nil when the hub is closed.
func (h *hub) join() (*stream, []Point) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil
	}
	st := &stream{next: make(chan *Snapshot, 1), end: make(chan struct{})}
	if h.newest != nil {
		st.next <- h.newest
	}
	h.streams[st] = true
	return st, append([]Point{}, h.points...)
}

func (h *hub) leave(st *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, st)
}

// watched says whether anybody looks.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams) > 0
}

// snapshot is the newest one, nil before the first.
func (h *hub) snapshot() *Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest
}

// close ends all streams: a server that waits for them would never stop.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for st := range h.streams {
		close(st.end)
	}
	clear(h.streams)
}
