package generator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// actor is the audit header of the generator's events. It also marks the orders that a later run may finish.
const actor = "generator"

// begin places the n-th order and walks it to its end.
func (g *generator) begin(ctx context.Context, n int64) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("order id: %w", err)
	}
	return g.walk(ctx, id, order.Order{}, g.plan(rand.New(rand.NewPCG(g.Seed, uint64(n)))))
}

// adopt walks an order to its end that an earlier run has begun. Its plan is lost, and a new one is made from its id.
func (g *generator) adopt(ctx context.Context, id uuid.UUID) error {
	o, err := g.load(ctx, id)
	if err != nil {
		return err
	}
	return g.walk(ctx, id, o, g.plan(rand.New(rand.NewPCG(g.Seed, binary.BigEndian.Uint64(id[8:])))))
}

// walk takes the order's steps one by one. It returns an error only if ctx has ended or nobody is left to order anything.
func (g *generator) walk(ctx context.Context, id uuid.UUID, o order.Order, p plan) error {
	g.Metrics.open.Inc()
	defer g.Metrics.open.Dec()
	for {
		step := p.next(o)
		if step == nil {
			g.Metrics.finished.WithLabelValues(string(o.Fulfilment)).Inc()
			return nil
		}
		if err := g.think(ctx, p.r, o); err != nil {
			return err
		}
		after, err := g.step(ctx, id, o, step)
		if errors.Is(err, errErased) {
			if err := g.forget(p.place.CustomerID); err != nil {
				return err
			}
			p.place.CustomerID = g.customer(p.r)
			continue
		}
		if err != nil {
			return err
		}
		if after.Version == o.Version {
			g.Logger.Warn("order stuck, left as it is", "order_id", id, "step", step.Name(), "state", o.Fulfilment)
			g.Metrics.errors.WithLabelValues(kindAbandoned).Inc()
			return nil
		}
		if o.Version == 0 {
			g.Metrics.placed.Inc()
		}
		g.Metrics.events.Add(float64(after.Version - o.Version))
		o = after
	}
}

// errErased is returned when the customer of an order that was to be placed is none any more.
var errErased = errors.New("the customer was erased")

// step does one thing to the order and returns its state afterwards. A version that is the old one means that the order
// cannot take the step.
func (g *generator) step(ctx context.Context, id uuid.UUID, o order.Order, do order.Command) (order.Order, error) {
	cmd := eventlog.Command{Order: id, Do: do, Headers: g.headers()}
	if o.Version > 0 {
		// So that a step whose outcome was unknown has one effect when it is taken again: whichever of the two comes
		// second finds another version.
		cmd.Known, cmd.Expected = &o, &o.Version
	}
	var after order.Order
	err := g.insist(ctx, do.Name(), func() error {
		began := time.Now()
		result, err := g.Log.Execute(ctx, cmd)
		if err != nil {
			return err
		}
		g.Metrics.seconds.Observe(time.Since(began).Seconds())
		after = result.Order
		return nil
	})
	var rule *order.RuleError
	if errors.As(err, &rule) && rule.Rule == order.RuleCustomer {
		return o, errErased
	}
	if rule != nil || errors.Is(err, eventlog.ErrConflict) || errors.Is(err, eventlog.ErrNotFound) {
		g.Logger.Debug("order moved on", "order_id", id, "step", do.Name(), "err", err)
		return g.load(ctx, id)
	}
	return after, err
}

// load returns the order as it is now, the zero Order if there is none.
func (g *generator) load(ctx context.Context, id uuid.UUID) (o order.Order, err error) {
	err = g.insist(ctx, "load", func() error {
		o, err = g.Log.Load(ctx, id)
		return err
	})
	if errors.Is(err, eventlog.ErrNotFound) {
		return order.Order{}, nil
	}
	return o, err
}

func (g *generator) headers() map[string]string {
	if g.Run == "" {
		return map[string]string{event.HeaderActor: actor}
	}
	return map[string]string{event.HeaderActor: actor, event.HeaderCorrelationID: g.Run}
}

// between is the mean pause between two steps of an order: with some ten steps it ends within a few seconds.
const between = 300 * time.Millisecond

// think lets the people take their time.
func (g *generator) think(ctx context.Context, r *rand.Rand, o order.Order) error {
	if g.Rate == 0 || o.Version == 0 {
		return ctx.Err()
	}
	return ops.Sleep(ctx, between/2+time.Duration(r.Int64N(int64(between))))
}
