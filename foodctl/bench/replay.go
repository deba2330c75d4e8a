package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/cable"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
)

// ReplayReport is what bringing a whole topic into a fresh read model came to.
type ReplayReport struct {
	Events      int64    `json:"events"`
	Open        int      `json:"open_orders"` // at a time
	FillSeconds float64  `json:"fill_seconds"`
	WarmUp      Replay   `json:"warm_up"` // of which the statements were recorded
	Copy        Limit    `json:"copy"`    // the final rows
	Unnest      Limit    `json:"unnest"`  // the projector's writes and no more
	Both        Limit    `json:"unnest_and_consumer"`
	Whole       Limit    `json:"whole"`              // all that the projector says to Postgres
	FenceCost   float64  `json:"fence_cost_percent"` // of the time without it
	Replays     []Replay `json:"replays"`
	Void        bool     `json:"void"`
}

// Limit is what a bare client needed for the same rows.
type Limit struct {
	Pass

	Different []string `json:"different_tables,omitempty"` // whose rows are not those that the projector wrote
}

// Replay is what a projector needed.
type Replay struct {
	Pass

	Members int          `json:"members"`
	Ratios  ReplayRatios `json:"ratios"`
	Check   Verdict      `json:"check"`
	Void    bool         `json:"void"`
}

// ReplayRatios are the projector's events a second by those of a limit.
type ReplayRatios struct {
	Copy   float64 `json:"copy"`
	Unnest float64 `json:"unnest"`
	Both   float64 `json:"unnest_and_consumer"`
	Whole  float64 `json:"whole"`
}

// ratios compares a replay with the limits.
func (r *ReplayReport) ratios(p Replay) ReplayRatios {
	of := func(l Limit) float64 { return p.EventsPerSecond / l.EventsPerSecond }
	return ReplayRatios{Copy: of(r.Copy), Unnest: of(r.Unnest), Both: of(r.Both), Whole: of(r.Whole)}
}

// replays is a topic that is being replayed.
type replays struct {
	*stage
	ReplayReport

	recording *recording
	recorded  *readModel // of which the recording is
}

// replay measures, in an order in which the limits and what they are compared with are close to each other.
func (s *servers) replay(ctx context.Context, c Projector) (report *ReplayReport, err error) {
	x, err := s.newReplays(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.close(context.WithoutCancel(ctx))) }()
	if err := x.record(ctx); err != nil {
		return nil, err
	}
	if err := x.limits(ctx); err != nil {
		return nil, err
	}
	for _, members := range c.Members {
		s.Progress(fmt.Sprintf("projector, members: %d", members))
		r, err := x.project(ctx, members)
		if err != nil {
			return nil, fmt.Errorf("%d members: %w", members, err)
		}
		r.Ratios = x.ratios(r)
		x.Replays, x.Void = append(x.Replays, r), x.Void || r.Void
	}
	return &x.ReplayReport, nil
}

// newReplays fills a topic and the database that the check judges by. The caller must close it.
func (s *servers) newReplays(ctx context.Context, c Projector) (x *replays, err error) {
	x = &replays{ReplayReport: ReplayReport{Events: c.Events, Open: c.Open}}
	if x.stage, err = s.stage(ctx, "replay", 1, c.Open); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.close(context.WithoutCancel(ctx)))
		}
	}()
	s.Progress(fmt.Sprintf("filling: %d events", c.Events))
	began := time.Now()
	if err := x.fill(ctx, c.Events); err != nil {
		return x, err
	}
	x.FillSeconds = time.Since(began).Seconds()
	s.Progress("making the database that the check judges by")
	if err := x.source(ctx); err != nil {
		return x, err
	}
	if x.recording, err = newRecording(filepath.Join(s.dir, "recording")); err != nil {
		return x, err
	}
	x.recorded, err = x.readModel(ctx)
	return x, err
}

func (x *replays) close(ctx context.Context) (err error) {
	x.stage.close()
	if x.recording != nil {
		err = x.recording.close()
	}
	if x.recorded != nil {
		err = errors.Join(err, x.recorded.drop(ctx))
	}
	return err
}

// record lets a projector make the read model that all others are compared with, and notes what it says to Postgres.
// For broker and Postgres it is the warm-up.
func (x *replays) record(ctx context.Context) (err error) {
	x.Progress("projector, while its statements are recorded")
	target := x.admin.Host
	if x.admin.Port() == "" {
		target = net.JoinHostPort(x.admin.Hostname(), "5432")
	}
	p, err := cable.StartTap(ctx, target, func() io.Writer { return &tap{to: x.recording} })
	if err != nil {
		return err
	}
	defer p.Close()
	if x.WarmUp, err = x.run(ctx, x.recorded, 1, p.Address()); err != nil {
		return err
	}
	x.Void = x.WarmUp.Void
	p.Close() // all that was said has been seen
	return x.recording.done()
}

// project measures a projector with so many members.
func (x *replays) project(ctx context.Context, members int) (r Replay, err error) {
	m, err := x.readModel(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.drop(context.WithoutCancel(ctx))) }()
	return x.run(ctx, m, members, "")
}

// run measures from the moment that the first partition is claimed until all events are applied, and lets the audit judge.
func (x *replays) run(ctx context.Context, m *readModel, members int, postgres string) (r Replay, err error) {
	p, err := m.projector(fmt.Sprintf("projector-%d", x.models), postgres, "MEMBERS="+strconv.Itoa(members))
	if err != nil {
		return r, err
	}
	if err := m.settle(ctx); err != nil {
		return r, err
	}
	err = p.running(ctx, func() (err error) {
		r, err = x.watched(ctx, p, m)
		return err
	})
	if err != nil {
		return r, err
	}
	r.Members = members
	r.Check, err = m.judge(ctx)
	r.Void = !r.Check.Clean()
	return r, err
}

func (x *replays) watched(ctx context.Context, p *projector, m *readModel) (r Replay, err error) {
	if err := p.ownsAny(ctx, m); err != nil {
		return r, err
	}
	w := x.watch(p.process.PID())
	if err := p.caughtUp(ctx, m, x.Events); err != nil {
		return r, err
	}
	r.Pass = w.pass("projector", x.Events, 0)
	r.PeakRSS = p.peakRSS()
	metrics, err := status.Scrape(ctx, p.url)
	if err != nil {
		return r, err
	}
	r.Transactions = int64(metrics.Count("projector_batch_events")) //nolint:gosec // far from its end
	return r, nil
}
