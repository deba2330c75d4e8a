// Package generator is a hundred simulated customers, a kitchen and its couriers, who walk orders through their whole life
// by way of package eventlog.
//
// It promises that what the n-th order is about depends on the seed and n alone; that it never stops because the
// database is away; and that an order which it has begun is walked to its end, by a later run if need be. It does not
// promise the same interleaving twice, and it leaves orders alone that others have placed.
package generator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// Config says how many orders there are and what becomes of them. Default returns what is usual.
type Config struct {
	// Rate is how many orders are placed each second, evenly spaced, whether or not the database keeps up. Zero places
	// the next order as soon as one of the Writers has finished its last, and leaves out the pauses between the steps.
	Rate float64

	// Orders ends the run after so many orders. Zero means no end.
	Orders int64

	// Run names the run, so that Orders counts the orders of all processes that worked on it, those that crashed
	// included. Empty counts the orders of this process.
	Run string

	// Seed decides who orders what, and what becomes of it.
	Seed uint64

	// Shares of the orders, 0 to 1: that are cancelled; whose payment, kitchen or delivery fails; of which money is
	// asked back once they are paid.
	CancelRate, FailureRate, RefundRate float64

	// Writers is how many orders are worked on at once at rate 0, each with one connection of the pool. More of them
	// share the disk's flushes, until the processor is full.
	Writers int

	// MaxOpen bounds the orders that are open at once at any other rate. Orders that were due meanwhile are left out.
	MaxOpen int
}

// Default returns ten orders a second without end.
func Default() Config {
	return Config{Rate: 10, Seed: 1, CancelRate: 0.06, FailureRate: 0.08, RefundRate: 0.05, Writers: 32, MaxOpen: 10_000}
}

func (c Config) check() error {
	for name, share := range map[string]float64{"cancel": c.CancelRate, "failure": c.FailureRate, "refund": c.RefundRate} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%s rate %v: give a share between 0 and 1", name, share)
		}
	}
	switch {
	case !(c.Rate >= 0 && c.Rate <= 100_000):
		return fmt.Errorf("rate %v: give orders per second, at most 100000, or 0 for as fast as it can", c.Rate)
	case c.Orders < 0:
		return fmt.Errorf("orders %d: give a number, or 0 for no end", c.Orders)
	case c.Writers < 1 || c.MaxOpen < 1:
		return fmt.Errorf("writers %d, open orders %d: at least 1 each", c.Writers, c.MaxOpen)
	}
	return nil
}

// Tools are what a run works with.
type Tools struct {
	Pool    *pgxpool.Pool // the orders database: menu, customers, orders left open
	Log     *eventlog.Log
	Metrics *Metrics
	Logger  *slog.Logger
}

// Run places orders and walks them through their life until cfg.Orders of them have finished or ctx ends, which is no
// error. First it finishes what an earlier run left open. While the database is away it keeps trying.
func Run(ctx context.Context, cfg Config, tools Tools) error {
	if err := cfg.check(); err != nil {
		return fmt.Errorf("generator: %w", err)
	}
	g := &generator{Config: cfg, Tools: tools}
	err := g.run(ctx)
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // the end of ctx is the way to stop it
	case err != nil:
		return fmt.Errorf("generator: %w", err)
	}
	g.Metrics.done.Set(1)
	g.Logger.Info("all orders are finished", "orders", g.begun.Load())
	return nil
}

type generator struct {
	Config
	Tools

	world  world
	mu     sync.RWMutex // guards world.customers once the walks have begun
	begun  atomic.Int64 // number of the last order of this run
	absent atomic.Bool  // the database did not answer last time
}

func (g *generator) run(ctx context.Context) error {
	var open []uuid.UUID
	err := g.insist(ctx, "look around", func() (err error) {
		if g.world, err = readWorld(ctx, g.Pool, g.Seed); err != nil {
			return err
		}
		begun, err := countRun(ctx, g.Pool, g.Run)
		if err != nil {
			return err
		}
		g.begun.Store(begun)
		open, err = leftOpen(ctx, g.Pool, g.MaxOpen)
		return err
	})
	if err != nil {
		return err
	}
	if len(open) > 0 {
		g.Logger.Info("open orders found", "orders", len(open))
	}
	if g.Rate == 0 {
		return g.flatOut(ctx, open)
	}
	return g.paced(ctx, open)
}

// take gives out the number of the next order, unless there are enough.
func (g *generator) take() (n int64, ok bool) {
	n = g.begun.Add(1)
	if g.Orders > 0 && n > g.Orders {
		g.begun.Add(-1)
		return 0, false
	}
	return n, true
}

// flatOut has each writer work on one order at a time.
func (g *generator) flatOut(ctx context.Context, open []uuid.UUID) error {
	queue := make(chan uuid.UUID, len(open))
	for _, id := range open {
		queue <- id
	}
	close(queue)
	group, ctx := errgroup.WithContext(ctx)
	for range g.Writers {
		group.Go(func() error {
			for id := range queue {
				if err := g.adopt(ctx, id); err != nil {
					return err
				}
			}
			for {
				n, more := g.take()
				if !more {
					return nil
				}
				if err := g.begin(ctx, n); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// behind is how late the placing of orders may become before the orders that were due are left out. Without it, an
// outage of the database would be followed by all of its orders at once.
const behind = time.Second

// paced begins an order whenever one is due.
func (g *generator) paced(ctx context.Context, open []uuid.UUID) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(g.MaxOpen)
	for _, id := range open {
		group.Go(func() error { return g.adopt(ctx, id) })
	}
	gap := time.Duration(float64(time.Second) / g.Rate)
	for due := time.Now(); ops.Sleep(ctx, time.Until(due)) == nil; due = due.Add(gap) {
		n, more := g.take()
		if !more {
			break
		}
		group.Go(func() error { return g.begin(ctx, n) }) // waits while MaxOpen are open
		if late := time.Since(due); late > behind {
			due = due.Add(late)
		}
	}
	return group.Wait()
}
