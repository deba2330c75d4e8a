package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// shortestRetention is longer than a command can take with all its attempts, so that a client who was cut off and asks again finds its
// key. Less would be no promise.
const shortestRetention = 5 * time.Minute

const (
	prunesEvery = time.Minute
	keysAtOnce  = 1000 // in a transaction: some milliseconds
)

// pruner deletes idempotency keys whose time is over. Each orderservice has one; they need not know of each other.
type pruner struct {
	orders    *eventlog.Log
	log       *slog.Logger
	retention time.Duration
	every     time.Duration
	pruned    prometheus.Counter
}

func newPruner(reg prometheus.Registerer, orders *eventlog.Log, log *slog.Logger, retention time.Duration) *pruner {
	p := &pruner{orders: orders, log: log, retention: retention, every: prunesEvery, pruned: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "idempotency_keys_pruned_total",
		Help: "Idempotency keys that were deleted because they were older than --key-retention.",
	})}
	reg.MustRegister(p.pruned)
	return p
}

// run prunes now and then, from when the database was found right until ctx ends.
func (p *pruner) run(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-ready:
	}
	failing := false
	for ops.Sleep(ctx, p.every/2+rand.N(p.every)) == nil { // not all at once
		err := p.prune(ctx)
		bad := err != nil && ctx.Err() == nil && !errors.Is(err, eventlog.ErrUnavailable) // of which watch tells
		if bad && !failing {
			p.log.Warn("idempotency keys are not pruned", "err", err, "remedy", "the table grows and nothing else happens: see to what err names")
		}
		failing = bad
	}
	return nil
}

// prune deletes what is due, a batch after the other.
func (p *pruner) prune(ctx context.Context) error {
	for n := int64(keysAtOnce); n == keysAtOnce; {
		var err error
		if n, err = p.orders.PruneKeys(ctx, p.retention, keysAtOnce); err != nil {
			return err
		}
		p.pruned.Add(float64(n))
	}
	return nil
}

// checkRetention refuses what would be no promise to a client.
func (f runFlags) checkRetention() error {
	if f.KeyRetention < shortestRetention {
		return &ops.ExitError{Code: 2, Err: fmt.Errorf("--key-retention %s: give at least %s, a client must be able to ask again under its key",
			f.KeyRetention, shortestRetention)}
	}
	return nil
}
