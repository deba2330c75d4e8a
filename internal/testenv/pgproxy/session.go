package pgproxy

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
)

// session is one client's connection and its server process's. Two goroutines carry it, one for each direction.
type session struct {
	*Proxy

	client, server net.Conn
	names          names // of requests alone
	pid            atomic.Int32
	lost           bool // something that the server has said, and so is all that follows; of answers alone

	mu       sync.Mutex // guards what follows
	changed  *sync.Cond
	pending  []*Exchange // sent, and not answered as a whole
	answered int         // statements of pending[0]
	gone     bool        // the server has hung up
}

func newSession(p *Proxy, client, server net.Conn) *session {
	s := &session{Proxy: p, client: client, server: server, names: newNames()}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// requests carries what the client sends until it hangs up. What the server does not take is lost: that it has hung up is for answers to
// tell.
func (s *session) requests() {
	defer func() {
		s.drop(s.client)
		_ = s.server.(*net.TCPConn).CloseWrite() // so that it reads what was sent to its end; it may be gone
	}()
	from := bufio.NewReaderSize(s.client, 64<<10)
	if err := s.startUp(from); err != nil {
		return
	}
	x := newExchange()
	for {
		frame, err := readFrame(from)
		if err != nil {
			return
		}
		x.request = append(x.request, frame...)
		switch s.names.follow(x, frame); frame[0] {
		case syncing, query:
			s.count.Add(1)
			if !s.send(x) {
				return
			}
			x = newExchange()
		case parse, bind, execute, describe, closing: // a Sync will follow
		default: // a password, a copy's data, a Flush, the end
			_, _ = s.server.Write(x.request)
			x.request, x.last, x.next = nil, 0, 0
		}
	}
}

// send forwards a whole request, and reports whether the session goes on.
func (s *session) send(x *Exchange) bool {
	if h := s.held(Request, x); h != nil && !h.stop(s, x) {
		s.hangUp()
		return false
	}
	s.sent(x)
	rest := x.request
	if x.Ends("COMMIT") {
		if h := s.held(Commit, x); h != nil {
			_, _ = s.server.Write(append(rest[:x.last:x.last], flushMessage...))
			if !s.awaitAllButLast(x) || !h.stop(s, x) {
				s.hangUp()
				return false
			}
			rest = rest[x.last:]
		}
	}
	_, _ = s.server.Write(rest)
	return true
}

// sent notes an exchange that will be answered, unless the server has hung up.
func (s *session) sent(x *Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		close(x.done)
		return
	}
	s.pending = append(s.pending, x)
}

// awaitAllButLast waits until the server has answered to all statements but the last, and reports false if it hangs up before.
func (s *session) awaitAllButLast(x *Exchange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.gone && (s.pending[0] != x || s.answered < len(x.SQL)-1) {
		s.changed.Wait()
	}
	return !s.gone
}

func (s *session) hangUp() { _, _ = s.client.Close(), s.server.Close() }

// answers carries what the server sends until it hangs up, and then hangs up too, unless the proxy is mute.
func (s *session) answers() {
	defer s.end()
	from := bufio.NewReaderSize(s.server, 64<<10)
	var (
		holding *Hold
		kept    []byte // what holding keeps back
	)
	for {
		frame, err := readFrame(from)
		if err != nil {
			return
		}
		if frame[0] == backendKey {
			s.pid.Store(int32(number(frame[5:]))) //nolint:gosec // a process id
		}
		x, first := s.answer(frame)
		if first {
			holding = s.held(Answer, x)
		}
		if holding == nil {
			s.tell(frame)
		} else if kept = append(kept, frame...); frame[0] == ready {
			if !holding.stop(s, x) {
				s.hangUp()
				return
			}
			s.tell(kept)
			holding, kept = nil, nil
		}
		if x != nil && frame[0] == ready {
			close(x.done)
		}
	}
}

// tell passes on what the server says. A client that has gone does not end what the server has to do.
func (s *session) tell(frames []byte) {
	if s.lost = s.lost || s.mute.Load(); !s.lost {
		_, _ = s.client.Write(frames)
	}
}

// answer notes a frame of the server's. It returns the exchange that it belongs to, if any, and whether it is the first of its answer.
func (s *session) answer(frame []byte) (x *Exchange, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 || asynchronous(frame[0]) {
		return nil, false
	}
	x = s.pending[0]
	first = !x.began
	x.began = true
	if tag := tagOf(frame); tag != "" {
		x.Tags = append(x.Tags, tag)
		s.answered++
		if frame[0] == failed { // the rest is not carried out
			s.answered = len(x.SQL)
		}
	}
	if frame[0] == ready {
		s.pending, s.answered = s.pending[1:], 0
	}
	s.changed.Broadcast()
	return x, first
}

// end lets nobody wait for the server any more.
func (s *session) end() {
	s.mu.Lock()
	for _, x := range s.pending {
		close(x.done)
	}
	s.pending, s.gone = nil, true
	s.changed.Broadcast()
	s.mu.Unlock()
	s.drop(s.server)
	if !s.lost && !s.mute.Load() {
		_ = s.client.Close()
	}
}
