package load

import (
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// placed is an order of this load, as it was answered last.
type placed struct {
	id    uuid.UUID
	state order.Order
}

// Bounds of what is remembered. An order beyond the first is left as it is.
const (
	maxOpen   = 10_000
	maxRecent = 1_000
)

// orders are those of this load. Whoever takes one has it for himself, so that no two commands meet: a conflict would
// then be somebody else's.
type orders struct {
	mu     sync.Mutex // guards what follows
	open   []placed   // that have something to come, and that nobody has taken
	recent []placed   // the last that changed, to be read; a ring
	at     int        // of the ring, where the next goes
}

// take takes an open order out.
func (o *orders) take(r *rand.Rand) (p placed, found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.open) == 0 {
		return p, false
	}
	i, last := r.IntN(len(o.open)), len(o.open)-1
	p, o.open[i] = o.open[i], o.open[last]
	o.open = o.open[:last]
	return p, true
}

// back puts one in that was taken and has not changed.
func (o *orders) back(p placed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(p)
}

// changed puts one in as a command has left it.
func (o *orders) changed(p placed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(p)
	if len(o.recent) < maxRecent {
		o.recent = append(o.recent, p)
		return
	}
	o.recent[o.at] = p
	o.at = (o.at + 1) % maxRecent
}

func (o *orders) put(p placed) {
	ended := p.state.Fulfilment.Terminal() && (p.state.Fulfilment != order.Completed || p.state.Rating != 0)
	if !ended && len(o.open) < maxOpen {
		o.open = append(o.open, p)
	}
}

// look is one that changed lately.
func (o *orders) look(r *rand.Rand) (p placed, found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.recent) == 0 {
		return p, false
	}
	return o.recent[r.IntN(len(o.recent))], true
}
