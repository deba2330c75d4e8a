package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/load"
)

// lead is how long orders are placed before they count: connections are made, statements prepared, code and caches warm.
const lead = time.Second

// sample is what a run came to, or several.
type sample struct {
	times []time.Duration // of the orders that count
	over  time.Duration   // in which they were placed
	all   int64           // orders, those of the lead as well
	used  OrderCost       // for all of them, in seconds
}

// OrderCost is CPU time, user and system, in seconds per million orders. nil is what is not involved, or may run elsewhere.
type OrderCost struct {
	Client   *float64 `json:"client"` // pgbench, or this program
	Service  *float64 `json:"orderservice"`
	Postgres *float64 `json:"postgres"`
}

func (s *sample) add(other sample) {
	first := s.all == 0
	s.times, s.over, s.all = append(s.times, other.times...), s.over+other.over, s.all+other.all
	if first {
		s.used = other.used
		return
	}
	s.used = OrderCost{sum(s.used.Client, other.used.Client), sum(s.used.Service, other.used.Service), sum(s.used.Postgres, other.used.Postgres)}
}

// sum is nil if a part of it is not known.
func sum(a, b *float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	return new(*a + *b)
}

func (s *sample) placed() Placed {
	each := func(used *float64) *float64 {
		if used == nil || s.all == 0 {
			return nil
		}
		return new(*used * 1e6 / float64(s.all))
	}
	return Placed{
		Orders: int64(len(s.times)), PerSecond: float64(len(s.times)) / s.over.Seconds(), Seconds: quantiles(s.times),
		CPU: OrderCost{each(s.used.Client), each(s.used.Service), each(s.used.Postgres)},
	}
}

// costs begins to measure what orders cost: with orderservice, if it is involved.
func (t *ordersTrial) costs(service bool) (used func() OrderCost) {
	runtime.GC() // of what others have left
	var served, stored meter
	client := newMeter(os.Getpid())
	if service {
		served = newMeter(t.service.process.PID())
	}
	if t.postgres != nil {
		stored = newFamilyMeter(t.postgres.PID())
	}
	return func() OrderCost { return OrderCost{client.used(), served.used(), stored.used()} }
}

// place lets so many writers place one order after the other, each as soon as the last is answered.
func (t *ordersTrial) place(ctx context.Context, target load.Target, writers int) (sample, error) {
	used := t.costs(target == t.api)
	target = t.answered.of(target)
	began := time.Now()
	end := lead + t.cfg.For
	var next atomic.Int64
	samples := make([][]time.Duration, writers)
	group, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		group.Go(func() error {
			for sent := time.Since(began); sent < end && ctx.Err() == nil; {
				r := t.requests[int(next.Add(1))%len(t.requests)]
				a := target.Do(ctx, r)
				answered := time.Since(began)
				if a.Outcome != load.Done {
					return fmt.Errorf("an order was answered %s: %s: %s", a.Outcome, a.Status, a.Detail)
				}
				if answered >= lead && answered < end {
					samples[w] = append(samples[w], answered-sent)
				}
				sent = answered
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return sample{}, err
	}
	s := sample{over: t.cfg.For, all: next.Load(), used: used()}
	for _, times := range samples {
		s.times = append(s.times, times...)
	}
	return s, nil
}

// answers are the orders that were answered, by whatever target.
type answers struct {
	mu    sync.Mutex // guards what follows
	ids   map[uuid.UUID]struct{}
	twice int64 // answers about an order that another one was about
	lost  int64 // requests without an answer, which may have made an order
}

func newAnswers() *answers { return &answers{ids: make(map[uuid.UUID]struct{})} }

// of is a target whose answers are kept.
func (a *answers) of(target load.Target) load.Target { return noting{target, a} }

type noting struct {
	load.Target

	answers *answers
}

// Do implements load.Target.
func (n noting) Do(ctx context.Context, r load.Request) load.Answer {
	a := n.Target.Do(ctx, r)
	n.answers.note(a)
	return a
}

func (a *answers) note(one load.Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch one.Outcome {
	case load.Done:
		if _, known := a.ids[one.Order]; known {
			a.twice++
		}
		a.ids[one.Order] = struct{}{}
	case load.NoAnswer:
		a.lost++
	default: // nothing was made
	}
}
