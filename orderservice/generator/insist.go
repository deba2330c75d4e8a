package generator

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// Bounds of the pauses between attempts while the database is away.
const (
	shortest = 50 * time.Millisecond
	longest  = 3 * time.Second
)

// insist does something until it works, is answered, or ctx ends. There is no other bound: the generator is there to make
// traffic, and has nobody to report to. Only the first failure of an outage is logged; all of them are counted.
func (g *generator) insist(ctx context.Context, what string, do func() error) error {
	for wait := shortest; ; wait = min(2*wait, longest) {
		err := do()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if answered(err) {
			if g.absent.CompareAndSwap(true, false) {
				g.Logger.Info("the generator goes on")
			}
			return err
		}
		g.Metrics.errors.WithLabelValues(kind(err)).Inc()
		if g.absent.CompareAndSwap(false, true) {
			g.Logger.Warn("the generator waits for the orders database", "step", what, "err", err)
		}
		if err := ops.Sleep(ctx, wait/2+rand.N(wait)); err != nil {
			return err
		}
	}
}

// answered reports whether the database said what it thinks of it, so that asking again would change nothing.
func answered(err error) bool {
	var rule *order.RuleError
	return err == nil || errors.As(err, &rule) || errors.Is(err, errEmpty) ||
		errors.Is(err, eventlog.ErrConflict) || errors.Is(err, eventlog.ErrNotFound)
}

func kind(err error) string {
	switch {
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		return kindUnknown
	case errors.Is(err, eventlog.ErrUnavailable):
		return kindUnavailable
	default:
		return kindOther
	}
}
