package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/cable"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Failover says how to measure takeovers.
type Failover struct {
	Config

	Faults []Fault
	Rounds int     // of each
	Rate   float64 // events a second, all the time
}

// Fault is what happens to the relay that publishes.
type Fault string

// The faults.
const (
	Kill  Fault = "kill"  // SIGKILL
	Pause Fault = "pause" // SIGSTOP, and SIGCONT when the other has taken over
	Cut   Fault = "cut"   // nothing passes between it and both servers until the other has taken over
)

// Faults are all there are.
var Faults = []Fault{Kill, Pause, Cut}

// limit is the time in which a takeover is to be over.
func (f Fault) limit() time.Duration {
	if f == Kill {
		return time.Second
	}
	return 8 * time.Second // of which Postgres takes 5 to give up on one that says nothing
}

// FailoverReport is what it came to.
type FailoverReport struct {
	Machine Machine    `json:"machine"`
	Faults  []Takeover `json:"faults"`
	Void    bool       `json:"void"`
}

// Takeover is what was measured with one fault, in seconds from the moment of the fault.
type Takeover struct {
	Fault     Fault     `json:"fault"`
	Rounds    int       `json:"rounds"`
	Limit     float64   `json:"limit_seconds"`
	Above     int       `json:"above_limit"`
	Delivered Quantiles `json:"delivered"` // until a read_committed consumer has an event that was written after the fault
	Active    Quantiles `json:"active"`    // until the other relay says that it is active
	All       []float64 `json:"all_delivered"`
	Check     Check     `json:"check"`
	Void      bool      `json:"void"`
}

// Run measures and checks, fault by fault.
func (c Failover) Run(ctx context.Context) (report FailoverReport, err error) {
	if c.Rounds < 1 || c.Rate <= 0 || len(c.Faults) == 0 {
		return report, errors.New("at least one fault, one round and a rate above 0 are needed")
	}
	if slices.Contains(c.Faults, Cut) && c.Brokers != "" {
		return report, errors.New("to cut a relay off from Kafka takes a listener for each relay: leave --brokers out, " +
			"or give --faults kill,pause")
	}
	var w *wiring
	var kafka kafkaserver.Config
	if slices.Contains(c.Faults, Cut) {
		if w, err = newWiring(); err != nil {
			return report, err
		}
		kafka = w.kafka
	}
	s, err := open(ctx, c.Config, kafka)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	report.Machine = s.machine
	for i, fault := range c.Faults {
		t, err := s.takeover(ctx, c, fault, trial(i), w)
		if err != nil {
			return report, fmt.Errorf("%s: %w", fault, err)
		}
		report.Faults = append(report.Faults, t)
		report.Void = report.Void || t.Void
	}
	return report, nil
}

// pair is two relays, of which one publishes and one stands by.
type pair struct {
	relays [2]*relay
	fault  Fault
	flow   *traffic

	gates   [2]*cable.Gate // their cables, for Cut
	proxies []*cable.Proxy
}

// takeover measures one fault, again and again, while events flow.
func (s *servers) takeover(ctx context.Context, c Failover, fault Fault, t trial, w *wiring) (result Takeover, err error) {
	p := &pair{fault: fault}
	defer func() { err = errors.Join(err, p.end(context.WithoutCancel(ctx))) }()
	if err := p.begin(ctx, s, w); err != nil {
		return result, err
	}
	if p.flow, err = s.flow(ctx, t, c.Rate, 0); err != nil {
		return result, err
	}
	delivered, activated, err := p.rounds(ctx, c.Rounds, s.Progress)
	_, errFlow := p.flow.stop(ctx)
	if err = errors.Join(err, errFlow); err != nil {
		return result, err
	}
	result = evaluate(fault, delivered, activated)
	result.Check, err = p.flow.check(ctx)
	result.Void = !result.Check.Clean()
	return result, err
}

// evaluate makes a distribution of the rounds' times.
func evaluate(fault Fault, delivered, activated []time.Duration) Takeover {
	t := Takeover{Fault: fault, Rounds: len(delivered), Limit: fault.limit().Seconds()}
	for _, d := range delivered {
		t.All = append(t.All, d.Seconds())
		if d > fault.limit() {
			t.Above++
		}
	}
	t.Delivered, t.Active = quantiles(delivered), quantiles(activated)
	return t
}

// begin starts the relays, the first as the one that publishes. Whether or not it succeeds, end ends them.
func (p *pair) begin(ctx context.Context, s *servers, w *wiring) (err error) {
	for i, role := range []string{active, standby} {
		var postgres, kafka string // of the servers themselves
		if p.fault == Cut {
			p.gates[i] = cable.NewGate()
			proxies, err := w.proxies(ctx, i, s.admin.Host, p.gates[i])
			p.proxies = append(p.proxies, proxies...)
			if err != nil {
				return err
			}
			postgres, kafka = proxies[0].Address(), proxies[1].Address()
		}
		if p.relays[i], err = s.relay(fmt.Sprintf("%s-relay-%d", p.fault, i+1), postgres, kafka); err != nil {
			return err
		}
		if err := p.relays[i].start(); err != nil {
			return err
		}
		if err := p.relays[i].await(ctx, role); err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) end(ctx context.Context) (err error) {
	for i, r := range p.relays {
		if p.gates[i] != nil {
			p.gates[i].Mend()
		}
		if r != nil {
			err = errors.Join(err, r.stop(ctx))
		}
	}
	for _, proxy := range p.proxies {
		proxy.Close()
	}
	return err
}

// rounds returns, for each round, the time until an event was delivered and until the other relay was active.
func (p *pair) rounds(ctx context.Context, n int, progress func(string)) (delivered, activated []time.Duration, err error) {
	for round := range n {
		on := round % 2 // the first relay begins, and they take turns
		// At any moment of what is periodic: the standby's looking, the traffic's schedule.
		if err := ops.Sleep(ctx, rand.N(time.Second)); err != nil {
			return delivered, activated, err
		}
		d, a, err := p.round(ctx, on)
		if err != nil {
			return delivered, activated, fmt.Errorf("round %d: %w", round+1, err)
		}
		progress(fmt.Sprintf("%s %d of %d: events again after %.2f s", p.fault, round+1, n, d.Seconds()))
		delivered, activated = append(delivered, d), append(activated, a)
	}
	return delivered, activated, nil
}

// round strikes the relay that publishes, waits for the other, and brings the one back as standby.
func (p *pair) round(ctx context.Context, on int) (delivered, activated time.Duration, err error) {
	struck, other := p.relays[on], p.relays[1-on]
	at := time.Since(p.flow.began)
	if err := p.strike(on); err != nil {
		return 0, 0, err
	}
	after := time.Since(p.flow.began)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := other.await(gctx, active)
		activated = time.Since(p.flow.began) - at
		return err
	})
	g.Go(func() error {
		ctx, cancel := context.WithTimeoutCause(gctx, patience, fmt.Errorf("no event arrives within %s", patience))
		defer cancel()
		return other.until(ctx, 10*time.Millisecond, func(context.Context) (bool, error) {
			when, found := p.flow.first(after)
			delivered = when - at
			return found, nil
		})
	})
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	if err := p.mend(on); err != nil {
		return 0, 0, err
	}
	return delivered, activated, struck.await(ctx, standby)
}
