// Package cable puts something between a program and its servers that can be cut and mended while connections are open.
//
// It promises that during a cut nothing passes in either direction, the end of a connection included, that nothing of it
// is lost, and that a program behind Brokers never learns of a way around it. Unlike behind a cut cable, what is sent is
// still acknowledged, by this host's kernel: a program has nothing but silence to notice the cut by.
package cable

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
)

// host is where all proxies listen: this machine alone.
const host = "127.0.0.1"

// Proxy forwards TCP connections through a gate. While that is shut, connections stay open and new ones are taken.
type Proxy struct {
	gate     *Gate
	listener net.Listener
	target   string
	views    func() (sent, answered View) // is called for each connection
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// View is what one direction of a connection is read through. It may look at what comes, or change it.
type View func(io.Reader) io.Reader

// Start listens on a port of this machine, 0 for any, and forwards to the target.
func Start(ctx context.Context, port int, target string, g *Gate) (*Proxy, error) {
	return start(ctx, port, target, g, func() (View, View) { return plain, plain })
}

// StartTap forwards to the target, too, and shows what clients send to what tap makes for each connection.
func StartTap(ctx context.Context, target string, tap func() io.Writer) (*Proxy, error) {
	return start(ctx, 0, target, NewGate(), func() (View, View) {
		return func(r io.Reader) io.Reader { return io.TeeReader(r, tap()) }, plain
	})
}

func plain(r io.Reader) io.Reader { return r }

func start(ctx context.Context, port int, target string, g *Gate, views func() (sent, answered View)) (*Proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Proxy{gate: g, listener: l, target: target, views: views, stop: stop}
	p.running.Go(func() { p.accept(ctx) })
	return p, nil
}

// Address is where clients connect.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Close ends all connections and waits until they are gone.
func (p *Proxy) Close() {
	p.stop()
	_ = p.listener.Close() // there is nothing that it could lose
	p.running.Wait()
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.running.Go(func() { p.forward(ctx, from) })
	}
}

// forward forwards one connection until both directions have ended, one of them is broken, or ctx ends.
func (p *Proxy) forward(ctx context.Context, from net.Conn) {
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
	sent, answered := p.views()
	var both sync.WaitGroup
	both.Go(func() { p.pump(ctx, to, from, sent(from)) })
	both.Go(func() { p.pump(ctx, from, to, answered(to)) })
	both.Wait()
}

// pump forwards one direction, its end included. It reads from what comes from a connection.
func (p *Proxy) pump(ctx context.Context, to, from net.Conn, comes io.Reader) {
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
			_ = errors.Join(to.Close(), from.Close()) // from may be whole, and what comes not understood
			return
		}
	}
}
