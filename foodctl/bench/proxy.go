package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
)

// gate is what a cable is: it lets everything through, or nothing.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while it lets through; guarded by mu
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// pass waits until the gate lets through, or ctx ends.
func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// proxy forwards TCP connections through a gate. While that is shut, connections stay open and new ones are taken, but
// nothing passes in either direction, the end of a connection included. Unlike behind a cut cable, what is sent is
// still acknowledged, by this host's kernel: a program has nothing but silence to notice it by.
type proxy struct {
	gate     *gate
	listener net.Listener
	target   string
	tap      func() io.Writer // is called for each connection, and what it returns is shown what the client sends; may be nil
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// startProxy listens on a port of this machine and forwards to the target.
func startProxy(ctx context.Context, port int, target string, g *gate) (*proxy, error) {
	p := &proxy{gate: g, target: target}
	return p, p.start(ctx, port)
}

// startTap forwards to the target, too, and shows what clients send to what tap makes for each connection.
func startTap(ctx context.Context, target string, tap func() io.Writer) (*proxy, error) {
	p := &proxy{gate: newGate(), target: target, tap: tap}
	return p, p.start(ctx, 0)
}

func (p *proxy) start(ctx context.Context, port int) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(stack.Host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.listener, p.stop = l, stop
	p.running.Go(func() { p.accept(ctx) })
	return nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// close ends all connections and waits until they are gone.
func (p *proxy) close() {
	p.stop()
	_ = p.listener.Close() // there is nothing that it could lose
	p.running.Wait()
}

func (p *proxy) accept(ctx context.Context) {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.running.Go(func() { p.forward(ctx, from) })
	}
}

// forward forwards one connection until both directions have ended, one of them is broken, or ctx ends.
func (p *proxy) forward(ctx context.Context, from net.Conn) {
	defer from.Close()
	if p.gate.pass(ctx) != nil {
		return
	}
	to, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer to.Close()
	stop := context.AfterFunc(ctx, func() { _ = errors.Join(from.Close(), to.Close()) })
	defer stop()
	var shown io.Reader = from
	if p.tap != nil {
		shown = io.TeeReader(from, p.tap())
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(ctx, to, from, shown) })
	both.Go(func() { p.pump(ctx, from, to, to) })
	both.Wait()
}

// pump forwards one direction, its end included. It reads from what comes from a connection.
func (p *proxy) pump(ctx context.Context, to, from net.Conn, comes io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := comes.Read(buf)
		if p.gate.pass(ctx) != nil {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close() // which also ends the other direction
				return
			}
		}
		if errors.Is(err, io.EOF) {
			_ = to.(*net.TCPConn).CloseWrite() // the other end may be gone by now
			return
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}
