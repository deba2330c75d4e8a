package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// session is a running system that is being watched.
type session struct {
	*stack.Stack

	screen *status.Screen
	every  time.Duration // between two statuses
	names  stack.Names
	began  time.Time
	log    *slog.Logger

	collector *status.Collector
	stopTail  context.CancelFunc
	tailed    chan struct{}           // closed when the tail has ended
	counts    status.Counts           // the last that were read, for who reads them
	last      atomic.Pointer[reading] // the same, for others
	trouble   string                  // why the last reading was not complete

	relays   *relays
	old      int64 // events that the topic was filled anew with, and a few more
	caughtUp bool  // they have arrived
}

// reading is the status at a moment.
type reading struct {
	status.Counts

	at time.Time // no part of it is older
}

// openSession starts the system. The caller must close the session.
func openSession(ctx context.Context, c stack.Config, screen *status.Screen, style status.Style, log *slog.Logger) (*session, error) {
	s := &session{screen: screen, every: style.Every(), names: c.Names, began: time.Now(), log: log, tailed: make(chan struct{})}
	c.Progress = func(text string) { screen.Text("... " + text) }
	c.Notify = s.changed
	var err error
	if s.Stack, err = stack.Start(ctx, c); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("stopped before everything was up: %w", ctx.Err())
		}
		return nil, err
	}
	s.relays = relaysOf(s.Relays)
	var projectors []string
	for _, p := range s.Projectors {
		projectors = append(projectors, p.URL)
	}
	s.collector, err = status.Open(ctx, status.Config{
		OrdersURL: s.OrdersURL(), ReadModelURL: s.ReadModelURL(),
		Brokers: broker.Seeds(s.Brokers()), Topic: c.Names.Topic, Projectors: projectors,
	})
	if err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	// The tail goes on after Ctrl-C: what is on its way is still counted.
	tail, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopTail = stop
	go func() {
		defer close(s.tailed)
		s.collector.Run(tail)
	}()
	return s, nil
}

// close stops the system in order.
func (s *session) close(ctx context.Context) error {
	s.screen.End()
	s.stopTail()
	<-s.tailed
	s.collector.Close()
	return s.Stop(ctx)
}

// changed tells of programs that die and come back. The first start is the banner's.
func (s *session) changed(c stack.Change) {
	switch {
	case !c.Up && c.Backoff > 0:
		s.screen.Notice("%s (pid %d) ended, %s: %s; again in %s", c.Name, c.Pid, c.Reason, c.Detail, c.Backoff.Round(time.Millisecond))
	case !c.Up:
		s.screen.Notice("%s (pid %d) ended, %s", c.Name, c.Pid, c.Reason)
	case c.Again:
		s.screen.Notice("%s is back, pid %d", c.Name, c.Pid)
	}
}

// watch shows the status until done says so, ctx ends, or a program cannot be kept running.
func (s *session) watch(ctx context.Context, done func(context.Context) bool) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var shown time.Time
	for {
		s.read(ctx)
		if time.Since(shown) >= s.every-100*time.Millisecond {
			s.screen.Status(s.counts)
			shown = time.Now()
		}
		if done(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.Failed():
			return err
		case <-tick.C:
		}
	}
}

// read takes a reading, and tells once about what could not be read.
func (s *session) read(ctx context.Context) {
	for _, p := range s.Programs() {
		p.Usage() // notes the memory while the process is there
	}
	if notice := s.relays.look(ctx); notice != "" {
		s.screen.Notice("%s", notice)
	}
	before, at := s.counts.Applied, time.Now()
	counts, err := s.collector.Read(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		if s.trouble != err.Error() {
			s.screen.Notice("status: %v", err)
		}
		s.trouble = err.Error()
		return
	}
	s.trouble = ""
	s.counts = counts
	s.last.Store(&reading{counts, at})
	s.leaveOutOld()
	if s.Fresh && before == 0 && counts.Applied > 0 {
		s.screen.Notice("first event in the read model %.1f s after the start", time.Since(s.began).Seconds())
	}
}

// next waits for a reading that was begun later than at.
func (s *session) next(ctx context.Context, at time.Time) (*reading, error) {
	for {
		if r := s.last.Load(); r != nil && r.at.After(at) {
			return r, nil
		}
		if err := s.soon(ctx); err != nil {
			return nil, err
		}
	}
}

// soon pauses between two looks. Its error is why there is to be no other.
func (*session) soon(ctx context.Context) error {
	if ops.Sleep(ctx, 10*time.Millisecond) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// leaveOutOld leaves the events that the topic was filled anew with out of the latencies. They were long on their way,
// which says nothing about the pipeline.
func (s *session) leaveOutOld() {
	if !s.Refilled || s.caughtUp {
		return
	}
	if s.old == 0 {
		s.old = s.counts.Written
	}
	s.caughtUp = s.counts.Applied >= s.old
	s.counts.P50, s.counts.P99 = 0, 0
	s.collector.ForgetLatency()
}

// patience is how long nothing at all may arrive before draining is given up. A killed projector's partitions wait for
// the group's session timeout.
const patience = 60 * time.Second

// drain ends what is being done to the system, stops the traffic and waits until everything has arrived, ctx ends, or nothing
// has moved for long.
func (s *session) drain(ctx context.Context, patience time.Duration) (arrived bool, err error) {
	s.EndHarm() // through a relay that is paused or cut off nothing would arrive
	s.OrderService.Stop()
	if s.counts, err = s.collector.ReadExactly(ctx); err != nil {
		return false, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	moved, shown, last := time.Now(), time.Now(), s.counts
	for !s.counts.Arrived() {
		select {
		case <-ctx.Done():
			return false, nil
		case err := <-s.Failed():
			return false, err
		case <-tick.C:
		}
		s.read(ctx)
		if s.counts.Applied != last.Applied || s.counts.Published != last.Published {
			moved, last = time.Now(), s.counts
		}
		if time.Since(shown) >= s.every {
			s.screen.Status(s.counts)
			shown = time.Now()
		}
		if time.Since(moved) > patience {
			return false, nil
		}
	}
	return true, nil
}

// audit checks what the pipeline did. Its verdict is the exit code.
func (s *session) audit(ctx context.Context) (audit.Report, error) {
	c := audit.Config{
		OrdersURL: s.OrdersURL(), ReadModelURL: s.ReadModelURL(), Brokers: broker.Seeds(s.Brokers()),
		Topic: s.names.Topic, Slot: s.names.Slot, Log: s.log,
	}
	if s.Publisher != nil { // it has neither slot nor checkpoint, and what it has passed over is not worth the wait
		c.Slot, c.Timeout = "", time.Second
	}
	return audit.Run(ctx, c)
}

// verdictError is the exit code of a verdict: 0 holds, 1 violated, 2 undecided. The report has said the rest.
func verdictError(v audit.Verdict) error {
	switch v {
	case audit.Holds:
		return nil
	case audit.Violated:
		return &ops.ExitError{Code: 1}
	case audit.Undecided:
		return &ops.ExitError{Code: 2}
	}
	return fmt.Errorf("audit: unknown verdict %q", v)
}

// show prints what the audit found.
func (s *session) show(r audit.Report) error {
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	s.screen.Object(r)
	s.screen.Text(b.String())
	return nil
}
