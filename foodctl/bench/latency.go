package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
)

// Latency says how to measure the time from an event's commit in Postgres until a read_committed consumer has it.
type Latency struct {
	Config

	Rates []float64     // events a second, one after the other
	For   time.Duration // each, after a warm-up
}

// heat is the rate at which events flow first of all, for twice the time of a rate: a broker's code is not yet compiled, and compiling it
// takes a third of the time that it takes of the processors.
const heat = 1000

// warmUp is how long events flow before they count.
const warmUp = 2 * time.Second

// LatencyReport is what it came to.
type LatencyReport struct {
	Machine Machine       `json:"machine"`
	WarmUp  RateLatency   `json:"warm_up"` // checked as well
	Rates   []RateLatency `json:"rates"`
	Void    bool          `json:"void"`
}

// RateLatency is what was measured at one rate.
type RateLatency struct {
	Rate     float64   `json:"events_per_second_wanted"`
	Achieved float64   `json:"events_per_second"` // committed; less than wanted: the writers could not keep up
	Events   int       `json:"events"`            // that count
	Commit   Quantiles `json:"commit_seconds"`    // from the time in the schedule to the answer to COMMIT
	Visible  Quantiles `json:"visible_seconds"`   // from there to the consumer
	RelayCPU *float64  `json:"relay_cpu"`         // seconds a second
	Check    Check     `json:"check"`
	Void     bool      `json:"void"`
}

// Run measures and checks, rate by rate.
func (c Latency) Run(ctx context.Context) (report LatencyReport, err error) {
	if len(c.Rates) == 0 || c.For <= 0 {
		return report, errors.New("at least one rate and a time above 0 are needed")
	}
	s, err := open(ctx, c.Config, kafkaserver.Config{})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	report.Machine = s.machine
	r, err := s.relay("relay", "", "")
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, r.stop(context.WithoutCancel(ctx))) }()
	if err := r.start(); err != nil {
		return report, err
	}
	if err := r.await(ctx, active); err != nil {
		return report, err
	}
	if report.WarmUp, err = s.latency(ctx, r, 0, heat, 2*c.For); err != nil {
		return report, fmt.Errorf("warm-up: %w", err)
	}
	report.Void = report.WarmUp.Void
	for i, rate := range c.Rates {
		l, err := s.latency(ctx, r, trial(i+1), rate, c.For)
		if err != nil {
			return report, fmt.Errorf("%g events/s: %w", rate, err)
		}
		report.Rates = append(report.Rates, l)
		report.Void = report.Void || l.Void
	}
	return report, nil
}

// latency measures one rate.
func (s *servers) latency(ctx context.Context, r *relay, t trial, rate float64, last time.Duration) (RateLatency, error) {
	s.Progress(fmt.Sprintf("%g events/s for %s", rate, last))
	began, used := time.Now(), newMeter(r.process.PID())
	warm := int(rate * warmUp.Seconds())
	f, err := s.flow(ctx, t, rate, warm+max(1, int(rate*last.Seconds())))
	if err != nil {
		return RateLatency{}, err
	}
	err = f.written()
	marks, errStop := f.stop(ctx)
	if err := errors.Join(err, errStop); err != nil {
		return RateLatency{}, err
	}
	l := f.latency(marks, warm)
	if l.RelayCPU = used.used(); l.RelayCPU != nil {
		*l.RelayCPU /= time.Since(began).Seconds()
	}
	l.Check, err = f.check(ctx)
	l.Void = !l.Check.Clean()
	return l, err
}

// latency evaluates the marks behind the warm-up.
func (f *traffic) latency(marks []mark, warm int) RateLatency {
	l := RateLatency{Rate: f.rate}
	var commits, visible []time.Duration
	first, last := time.Duration(-1), time.Duration(0)
	for i, m := range marks[min(warm, len(marks)):] {
		if m.committed == 0 || m.delivered == 0 {
			continue // the check counts what is missing
		}
		if first < 0 || m.committed < first {
			first = m.committed
		}
		last = max(last, m.committed)
		commits = append(commits, max(0, m.committed-f.due(place(warm+i))))
		// The consumer may have it before the writer has its answer.
		visible = append(visible, max(0, m.delivered-m.committed))
	}
	l.Events, l.Commit, l.Visible = len(visible), quantiles(commits), quantiles(visible)
	if span := (last - first).Seconds(); span > 0 {
		l.Achieved = float64(l.Events-1) / span
	}
	return l
}

// Write writes the report for people.
func (r LatencyReport) Write(w io.Writer) error {
	lines := []string{
		r.Machine.String(), "",
		"Visible: from the answer to COMMIT until a read_committed consumer has the event. Commit: from the event's",
		"time in the schedule to the answer. In ms.", "",
	}
	t := newTable("wanted", "events/s", "events", "p50", "p99", "p99.9", "max", "commit p50", "commit p99", "relay CPU %")
	for _, l := range r.Rates {
		t.row(fmt.Sprintf("%g events/s", l.Rate), fmt.Sprintf("%.1f", l.Achieved), grouped(int64(l.Events)),
			millis(&l.Visible.P50), millis(l.Visible.P99), millis(l.Visible.P999), millis(&l.Visible.Max),
			millis(&l.Commit.P50), millis(l.Commit.P99), percent(l.RelayCPU))
	}
	lines = append(append(lines, t.lines()...), "")
	if r.WarmUp.Void {
		lines = append(lines, r.WarmUp.Check.lines("warm-up")...)
	}
	for _, l := range r.Rates {
		lines = append(lines, l.Check.lines(fmt.Sprintf("check of %g/s", l.Rate))...)
	}
	return write(w, lines)
}
