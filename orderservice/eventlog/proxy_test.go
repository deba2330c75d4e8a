package eventlog_test

import (
	"bytes"
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a pool and Postgres, and breaks one connection when it is told to.
type proxy struct {
	t        *testing.T
	listener net.Listener
	server   string
	group    sync.WaitGroup

	// mu guards what is below.
	mu       sync.Mutex
	conns    map[net.Conn]bool // both sides of all connections
	fault    fault
	skip     int  // requests to let pass before the fault
	closed   bool // refuse what connects from now on
	requests int
	held     func() // sends on what was held
}

// fault is what happens to the next request.
type fault int

const (
	none         fault = iota
	loseRequest        // it never arrives
	loseAnswer         // it is carried out, and the answer is lost
	delayRequest       // the client is cut off, and the request arrives when deliver is called
)

// through starts a proxy and returns the URL that leads through it.
func through(t *testing.T, address string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: listener, server: u.Host, conns: make(map[net.Conn]bool)}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
		p.group.Wait()
	})
	u.Host = listener.Addr().String()
	return p, u.String()
}

// next makes the fault happen to the request after skip others.
func (p *proxy) next(f fault, skip int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.skip = f, skip
}

// refuse makes the proxy turn away new connections, or take them again.
func (p *proxy) refuse(closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = closed
}

// count returns how many requests there have been.
func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// deliver sends the delayed request on, and returns when Postgres has answered it.
func (p *proxy) deliver() {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	held()
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		closed := p.closed
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		if closed {
			client.Close()
			server.Close()
			continue
		}
		p.group.Go(func() { p.carry(client, server) })
	}
}

// sync ends every request, and readyForQuery, outside a transaction, every answer.
var (
	syncMessage   = []byte{'S', 0, 0, 0, 4}
	readyForQuery = []byte{'Z', 0, 0, 0, 5, 'I'}
)

// carry carries requests and answers in turn until either side closes. A request is what ends in a Sync; the messages of
// the start-up do not, and pass as they are.
func (p *proxy) carry(client, server net.Conn) {
	defer client.Close()
	lose, done := make(chan struct{}, 1), make(chan struct{})
	p.group.Go(func() {
		defer close(done)
		defer client.Close()
		defer server.Close()
		answer(server, client, lose)
	})
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			server.Close()
			return
		}
		request := buffer[:n]
		if bytes.HasSuffix(request, syncMessage) {
			switch p.request() {
			case loseRequest:
				server.Close()
				return
			case loseAnswer:
				lose <- struct{}{}
			case delayRequest:
				p.hold(func() {
					lose <- struct{}{}
					server.Write(request) //nolint:errcheck // then the test sees no effect
					<-done
				})
				return
			}
		}
		if _, err := server.Write(request); err != nil {
			return
		}
	}
}

// request counts a request and returns what happens to it.
func (p *proxy) request() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if p.fault == none {
		return none
	}
	if p.skip > 0 {
		p.skip--
		return none
	}
	f := p.fault
	p.fault = none
	return f
}

func (p *proxy) hold(deliver func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = deliver
}

// answer carries answers until it is told to lose one, which it reads to its end.
func answer(server, client net.Conn, lose <-chan struct{}) {
	buffer := make([]byte, 1<<20)
	var seen []byte
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-lose:
			for seen = append(seen[:0], buffer[:n]...); !bytes.HasSuffix(seen, readyForQuery); seen = append(seen, buffer[:n]...) {
				if n, err = server.Read(buffer); err != nil {
					return
				}
			}
			return
		default:
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
