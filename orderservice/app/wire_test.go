package app

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is a proxy in front of Postgres that can hold bytes back.
type wire struct {
	listener net.Listener
	target   string
	sessions sync.WaitGroup

	// Who passes bytes on holds a gate for reading; who locks it holds them back.
	toServer, toClient sync.RWMutex

	mu   sync.Mutex // guards trap
	trap *trap
}

// trap closes a gate as soon as a client sends some text.
type trap struct {
	text   []byte
	gate   *sync.RWMutex
	sprung chan struct{}
}

// through returns the database's URL by way of a new wire.
func through(t *testing.T, database string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: u.Host}
	if w.listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	w.sessions.Go(w.accept)
	t.Cleanup(func() {
		_ = w.listener.Close() // ends accept
		w.sessions.Wait()
	})
	u.Host = w.listener.Addr().String()
	return w, u.String()
}

// holdAt closes one of the wire's gates when a client sends the text: with toServer the text itself is held back, with
// toClient what is answered to it. The test opens the gate again by Unlock, after the returned channel was closed.
func (w *wire) holdAt(text string, gate *sync.RWMutex) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trap = &trap{[]byte(text), gate, make(chan struct{})}
	return w.trap.sprung
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.target)
		if err != nil {
			_ = client.Close() // Postgres is away, so the wire is too
			continue
		}
		w.sessions.Go(func() { pass(server, client, &w.toServer, w.look) })
		w.sessions.Go(func() { pass(client, server, &w.toClient, func([]byte) {}) })
	}
}

// look springs the trap.
func (w *wire) look(sent []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trap == nil || !bytes.Contains(sent, w.trap.text) {
		return
	}
	w.trap.gate.Lock()
	close(w.trap.sprung)
	w.trap = nil
}

// pass copies until either side is closed, and then closes both.
func pass(to, from net.Conn, gate *sync.RWMutex, look func([]byte)) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			look(buffer[:n])
			gate.RLock()
			_, errWrite := to.Write(buffer[:n])
			gate.RUnlock()
			if errWrite != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
