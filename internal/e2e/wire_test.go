package e2e

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// wire is a proxy in front of Postgres that can keep from its clients that the server has hung up. So looks a network
// that drops everything: the client believes that it still has what the server has given to another.
type wire struct {
	listener net.Listener
	server   string
	sessions sync.WaitGroup
	mute     atomic.Bool
}

// through returns the database's URL by way of a new wire, whose clients must end before the test's clean-up reaches it:
// make it before the pipeline.
func through(t *testing.T, database string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{server: u.Host}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
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

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.server)
		if err != nil {
			_ = client.Close() // Postgres is away, so the wire is too
			continue
		}
		w.sessions.Go(func() { w.toServer(client, server) })
		w.sessions.Go(func() { w.toClient(client, server) })
	}
}

// toServer copies until the client hangs up. What the server does not take is lost.
func (w *wire) toServer(client, server net.Conn) {
	defer server.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		_, _ = server.Write(buffer[:n]) // that it has hung up is for toClient to tell
	}
}

// toClient copies until the server hangs up, and then does so too, unless the wire is mute.
func (w *wire) toClient(client, server net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil && w.mute.Load() {
			return
		}
		if err == nil {
			_, err = client.Write(buffer[:n])
		}
		if err != nil {
			_ = client.Close()
			return
		}
	}
}
