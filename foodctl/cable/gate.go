package cable

import (
	"context"
	"sync"
)

// Gate is what a cable is: it lets everything through, or nothing. It is safe for concurrent use.
type Gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while it lets through; guarded by mu
}

// NewGate makes a gate that lets through.
func NewGate() *Gate {
	g := &Gate{open: make(chan struct{})}
	close(g.open)
	return g
}

// Cut lets nothing through from now on. One that is cut already stays so.
func (g *Gate) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default: // another channel would leave those who wait at this one behind
	}
}

// Mend lets everything through again, what was held back first.
func (g *Gate) Mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// pass waits until the gate lets through, or ctx ends.
func (g *Gate) pass(ctx context.Context) error {
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
