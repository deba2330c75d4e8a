package bench

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Projector says how to measure the projector.
type Projector struct {
	Config

	Parts []Part
	Open  int // orders that are on their way at a time, in all parts

	Events  int64 // of Replay
	Members []int // one run for each

	Rates []float64     // events a second of Delays, one after the other
	For   time.Duration // each, after a warm-up

	Faults []Fault // of Handovers; Kill and Pause
	Orders []int64 // Growth: that the read model holds already, one run for each

	Rounds  int     // of each
	Rate    float64 // events a second, all the time
	Session time.Duration
}

// Part is something that can be measured by itself.
type Part string

// The parts.
const (
	Replays   Part = "replay"   // a whole topic into a fresh read model, beside what bare clients need for the same rows
	Delays    Part = "latency"  // from a record's commit to the read model
	Handovers Part = "takeover" // until another projector has the partitions of one that is gone
	Growth    Part = "growth"   // the same in read models that hold many orders
)

// Parts are all there are.
var Parts = []Part{Replays, Delays, Handovers, Growth}

// ProjectorReport is what it came to. What was not measured is nil.
type ProjectorReport struct {
	Machine  Machine         `json:"machine"`
	Replay   *ReplayReport   `json:"replay,omitempty"`
	Latency  *DelayReport    `json:"latency,omitempty"`
	Takeover *HandoverReport `json:"takeover,omitempty"`
	Growth   *GrowthReport   `json:"growth,omitempty"`
	Void     bool            `json:"void"`
}

// shortestSession is the shortest session timeout that brokers take unless told otherwise.
const shortestSession = 6 * time.Second

func (c Projector) check() error {
	has := func(p Part) bool { return slices.Contains(c.Parts, p) }
	switch {
	case len(c.Parts) == 0 || c.Open < 1:
		return errors.New("at least one part (--parts) and one open order (--open) are needed")
	case has(Growth) && (c.Events < topic.Partitions || len(c.Orders) == 0 || slices.Min(c.Orders) < 0 || c.For <= 0):
		return errors.New("some events (--events), numbers of orders (--orders) and a time above 0 (--for) are needed")
	case has(Replays) && (c.Events < topic.Partitions || len(c.Members) == 0 || slices.Min(c.Members) < 1):
		return errors.New("some events (--events) and one or more members (--members) are needed")
	case has(Delays) && (len(c.Rates) == 0 || slices.Min(c.Rates) <= 0 || c.For <= 0):
		return errors.New("rates above 0 (--rates) and a time above 0 (--for) are needed")
	case has(Handovers) && (c.Rounds < 1 || c.Rate <= 0 || len(c.Faults) == 0):
		return errors.New("at least one fault, one round and a rate above 0 are needed")
	case has(Handovers) && slices.Contains(c.Faults, Cut):
		return errors.New("a projector is killed or paused: give --faults kill,pause")
	case has(Handovers) && c.Session < shortestSession:
		return errors.New("brokers take a session timeout of 6s or more: raise --session-timeout")
	}
	return nil
}

// Run measures and checks, part by part.
func (c Projector) Run(ctx context.Context) (report ProjectorReport, err error) {
	if err := c.check(); err != nil {
		return report, err
	}
	s, err := start(ctx, c.Config, kafkaserver.Config{})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	report.Machine = s.machine
	for _, part := range c.Parts {
		if err := report.measure(ctx, s, part, c); err != nil {
			return report, err
		}
	}
	return report, nil
}

func (r *ProjectorReport) measure(ctx context.Context, s *servers, part Part, c Projector) (err error) {
	void := false
	switch part {
	case Replays:
		if r.Replay, err = s.replay(ctx, c); err == nil {
			void = r.Replay.Void
		}
	case Delays:
		if r.Latency, err = s.delay(ctx, c); err == nil {
			void = r.Latency.Void
		}
	case Handovers:
		if r.Takeover, err = s.handovers(ctx, c); err == nil {
			void = r.Takeover.Void
		}
	case Growth:
		if r.Growth, err = s.growth(ctx, c); err == nil {
			void = r.Growth.Void
		}
	}
	r.Void = r.Void || void
	return err
}
