package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// HandoverReport is how long takeovers took.
type HandoverReport struct {
	Session float64    `json:"session_timeout_seconds"`
	Faults  []Handover `json:"faults"`
	Check   Verdict    `json:"check"` // of all of it
	Void    bool       `json:"void"`
}

// Handover is what was measured with one fault, in seconds from the moment of the fault.
type Handover struct {
	Fault   Fault     `json:"fault"`
	Rounds  int       `json:"rounds"`
	Limit   float64   `json:"limit_seconds"`
	Above   int       `json:"above_limit"`
	Applied Quantiles `json:"applied"` // until an event that was sent after the fault is visible, of each partition of the one that was struck
	Claimed Quantiles `json:"claimed"` // until the other owns these partitions
	All     []float64 `json:"all_applied"`
}

// handovers measures takeovers between two projectors while events flow.
func (s *servers) handovers(ctx context.Context, c Projector) (*HandoverReport, error) {
	report := &HandoverReport{Session: c.Session.Seconds()}
	var err error
	report.Check, err = s.audited(ctx, "takeover", 3, c.Open, func(m *readModel) error {
		p := &couple{model: m, session: c.Session}
		return p.measure(ctx, c, report)
	})
	report.Void = !report.Check.Clean()
	return report, err
}

// couple is two projectors that share the partitions.
type couple struct {
	model      *readModel
	projectors [2]*projector
	flow       *feed
	session    time.Duration
}

func (p *couple) measure(ctx context.Context, c Projector, report *HandoverReport) (err error) {
	defer func() { err = errors.Join(err, p.end(context.WithoutCancel(ctx))) }()
	for i := range p.projectors {
		name := fmt.Sprintf("projector-%d", i+1)
		if p.projectors[i], err = p.model.projector(name, "", "PROJECTOR_SESSION_TIMEOUT="+c.Session.String()); err != nil {
			return err
		}
		if err := p.projectors[i].start(); err != nil {
			return err
		}
	}
	if p.flow, err = p.model.feed(ctx, c.Rate, 0); err != nil {
		return err
	}
	for _, fault := range c.Faults {
		h, err := p.rounds(ctx, fault, c.Rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", fault, err)
		}
		report.Faults = append(report.Faults, h)
	}
	_, err = p.flow.stop(ctx)
	return err
}

func (p *couple) end(ctx context.Context) (err error) {
	if p.flow != nil {
		err = p.flow.end()
	}
	for _, one := range p.projectors {
		if one != nil {
			err = errors.Join(err, one.stop(ctx))
		}
	}
	return err
}

// rounds lets the same fault happen again and again, to the one and the other in turn.
func (p *couple) rounds(ctx context.Context, fault Fault, n int) (Handover, error) {
	var applied, claimed []time.Duration
	for round := range n {
		if err := p.balanced(ctx); err != nil {
			return Handover{}, err
		}
		// At any moment of what is periodic: heartbeats, the schedule of the events.
		if err := ops.Sleep(ctx, rand.N(time.Second)); err != nil {
			return Handover{}, err
		}
		a, c, err := p.round(ctx, fault, round%2)
		if err != nil {
			return Handover{}, fmt.Errorf("round %d: %w", round+1, err)
		}
		p.model.stage.Progress(fmt.Sprintf("%s %d of %d: applied again after %.2f s", fault, round+1, n, a.Seconds()))
		applied, claimed = append(applied, a), append(claimed, c)
	}
	return handover(fault, p.session, applied, claimed), p.balanced(ctx)
}

// handover makes a distribution of the rounds' times.
func handover(fault Fault, session time.Duration, applied, claimed []time.Duration) Handover {
	// The group gives a member up when it has been silent for the session timeout, and tells the others at their next
	// heartbeat, of which there are four in that time.
	limit := session + session/4 + time.Second
	s := Handover{Fault: fault, Rounds: len(applied), Limit: limit.Seconds()}
	for _, d := range applied {
		s.All = append(s.All, d.Seconds())
		if d > limit {
			s.Above++
		}
	}
	s.Applied, s.Claimed = quantiles(applied), quantiles(claimed)
	return s
}

// balanced waits until both own partitions, and all have an owner that lives.
func (p *couple) balanced(ctx context.Context) error {
	first, second := p.projectors[0], p.projectors[1]
	ctx, cancel := p.patience(ctx, errors.New("the partitions are not shared"))
	defer cancel()
	return first.until(ctx, 10*time.Millisecond, func(ctx context.Context) (bool, error) {
		c, err := p.model.claims(ctx)
		a, b := len(first.owns(c)), len(second.owns(c))
		return a > 0 && b > 0 && a+b == len(c), err
	})
}

// patience is that for what takes a session's end first.
func (p *couple) patience(ctx context.Context, late error) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.session+patience, fmt.Errorf("%w within %s", late, p.session+patience))
}

// round strikes a projector and waits until each of its partitions is applied again.
func (p *couple) round(ctx context.Context, fault Fault, on int) (applied, claimed time.Duration, err error) {
	struck, other := p.projectors[on], p.projectors[1-on]
	before, err := p.model.claims(ctx)
	if err != nil {
		return 0, 0, err
	}
	parts := struck.owns(before)
	if len(parts) == 0 {
		return 0, 0, fmt.Errorf("%s owns nothing", struck.name)
	}
	signal := map[Fault]syscall.Signal{Kill: syscall.SIGKILL, Pause: syscall.SIGSTOP}[fault]
	at := time.Since(p.flow.began)
	if err := struck.process.Signal(signal); err != nil {
		return 0, 0, err
	}
	after := time.Since(p.flow.began)
	waiting, cancel := p.patience(ctx, fmt.Errorf("the partitions %v are not applied again", parts))
	defer cancel()
	err = other.until(waiting, 5*time.Millisecond, func(context.Context) (bool, error) {
		if claimed == 0 && len(struck.owns(p.flow.claims())) == 0 {
			claimed = time.Since(p.flow.began) - at
		}
		for _, part := range parts {
			visible, found := p.flow.first(part, after)
			if !found {
				return false, nil
			}
			applied = max(applied, visible-at)
		}
		return true, nil
	})
	if err != nil {
		return 0, 0, err
	}
	return applied, claimed, mend(struck, fault)
}

// mend ends a fault.
func mend(struck *projector, fault Fault) error {
	if fault == Pause {
		return struck.process.Signal(syscall.SIGCONT)
	}
	<-struck.process.Done()
	return struck.start()
}
