// Package pgproxy stands between a program and Postgres, for tests: it reads the protocol along, and stops an exchange at the
// point that a test has asked for until the test says how it goes on.
//
// It promises that all else passes as it came and in its order, and that what a client has sent reaches the server although the
// client has died since, as over a network: of a client that a test has cut off nothing more comes, a request to cancel, which would
// come on another connection, no more than the rest. It knows no TLS: it tells clients that the server has none.
package pgproxy

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	server   string
	settings map[string]string
	running  sync.WaitGroup
	closed   chan struct{}
	mute     atomic.Bool
	refuse   atomic.Bool
	count    atomic.Int64 // requests

	mu      sync.Mutex // guards what follows
	open    map[net.Conn]bool
	holds   []*Hold        // those that no exchange has reached yet
	orphans map[int32]bool // server processes whose client was cut off
}

// Setting changes what every client asks for at its start, as idle_in_transaction_session_timeout, by which it lets the server
// end what a test holds.
type Setting struct{ Name, Value string }

// Start returns a proxy, which ends with the test, and the database's URL by way of it. Its clients should have ended before: make it before
// them.
func Start(t testing.TB, database string, settings ...Setting) (p *Proxy, through string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	p = &Proxy{
		server: u.Host, settings: make(map[string]string), closed: make(chan struct{}),
		open: make(map[net.Conn]bool), orphans: make(map[int32]bool),
	}
	for _, s := range settings {
		p.settings[s.Name] = s.Value
	}
	if p.listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	u.Host = p.listener.Addr().String()
	return p, u.String()
}

// Mute loses what the server says, its goodbye and its end included, or does so no more. So looks a network that drops everything: a
// client believes that it still has what the server has given to another. Of a session that has lost something nothing comes any more.
func (p *Proxy) Mute(mute bool) { p.mute.Store(mute) }

// Refuse turns new connections away, or takes them again.
func (p *Proxy) Refuse(refuse bool) { p.refuse.Store(refuse) }

// Requests is how many requests have come, those for a connection not among them.
func (p *Proxy) Requests() int64 { return p.count.Load() }

func (p *Proxy) close() {
	close(p.closed)
	_ = p.listener.Close() // ends accept
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close() // ends who reads from it
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refuse.Load() {
			_ = client.Close()
			continue
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.server)
		if err != nil {
			_ = client.Close() // Postgres is away, so the proxy is too
			continue
		}
		p.keep(client, server)
		s := newSession(p, client, server)
		p.running.Go(s.requests)
		p.running.Go(s.answers)
	}
}

func (p *Proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.open[conn] = true
	}
}

// orphan cuts a server process's client off.
func (p *Proxy) orphan(pid int32, client net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orphans[pid] = true // before the client sees it, and asks to cancel what it has sent
	_ = client.Close()
}

func (p *Proxy) orphaned(pid int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.orphans[pid]
}

func (p *Proxy) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
	_ = conn.Close()
}
