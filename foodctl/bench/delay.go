package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// DelayReport is how long records took into the read model.
type DelayReport struct {
	WarmUp RateDelay   `json:"warm_up"`
	Rates  []RateDelay `json:"rates"`
	Check  Verdict     `json:"check"` // of all of it
	Void   bool        `json:"void"`
}

// RateDelay is what was measured at one rate.
type RateDelay struct {
	Rate     float64   `json:"events_per_second_wanted"`
	Achieved float64   `json:"events_per_second"` // committed; less than wanted: the broker could not keep up
	Events   int       `json:"events"`            // that count
	Commit   Quantiles `json:"commit_seconds"`    // from the time in the schedule to the commit's acknowledgement
	Visible  Quantiles `json:"visible_seconds"`   // from there until a reader of the read model sees it
	CPU      *float64  `json:"projector_cpu"`     // seconds a second
}

// delay measures one rate after the other with one projector.
func (s *servers) delay(ctx context.Context, c Projector) (*DelayReport, error) {
	report := new(DelayReport)
	var err error
	report.Check, err = s.audited(ctx, "latency", 2, c.Open, func(m *readModel) error { return m.delays(ctx, c, report) })
	report.Void = !report.Check.Clean()
	return report, err
}

func (m *readModel) delays(ctx context.Context, c Projector, report *DelayReport) error {
	p, err := m.projector("projector", "")
	if err != nil {
		return err
	}
	return p.running(ctx, func() error { return m.delaysOf(ctx, c, p, report) })
}

func (m *readModel) delaysOf(ctx context.Context, c Projector, p *projector, report *DelayReport) (err error) {
	if err := p.ownsAll(ctx, m); err != nil {
		return err
	}
	if report.WarmUp, err = m.delay(ctx, p, heat, 2*c.For); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	for _, rate := range c.Rates {
		d, err := m.delay(ctx, p, rate, c.For)
		if err != nil {
			return fmt.Errorf("%g events/s: %w", rate, err)
		}
		report.Rates = append(report.Rates, d)
	}
	return nil
}

// delay measures one rate.
func (m *readModel) delay(ctx context.Context, p *projector, rate float64, last time.Duration) (RateDelay, error) {
	m.stage.Progress(fmt.Sprintf("%g events/s for %s", rate, last))
	warm := int(rate * warmUp.Seconds())
	began, used := time.Now(), newMeter(p.process.PID())
	f, err := m.feed(ctx, rate, warm+max(1, int(rate*last.Seconds())))
	if err != nil {
		return RateDelay{}, err
	}
	err = f.written()
	steps, errStop := f.stop(ctx)
	if err := errors.Join(err, errStop); err != nil {
		return RateDelay{}, err
	}
	d := f.evaluate(steps, warm)
	if d.CPU = used.used(); d.CPU != nil {
		*d.CPU /= time.Since(began).Seconds()
	}
	return d, nil
}

// evaluate evaluates the steps behind the warm-up.
func (f *feed) evaluate(steps []step, warm int) RateDelay {
	d := RateDelay{Rate: f.rate}
	var commits, visible []time.Duration
	var first, last time.Duration
	for i, s := range steps[min(warm, len(steps)):] {
		if s.visible == 0 {
			continue // the check counts what is missing
		}
		if len(visible) == 0 {
			first = s.committed
		}
		last = s.committed
		commits = append(commits, s.committed-f.due(warm+i))
		visible = append(visible, s.visible-s.committed)
	}
	d.Events, d.Commit, d.Visible = len(visible), quantiles(commits), quantiles(visible)
	if span := (last - first).Seconds(); span > 0 {
		d.Achieved = float64(d.Events-1) / span
	}
	return d
}
