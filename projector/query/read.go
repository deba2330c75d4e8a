package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// read is what a request reads: see reader.snapshot. It waits, for as long as the request says, until the snapshot has what
// the request wants to read after. All read models are written in the transaction in which the order's version is (I8), so
// that this is right for each of them. Queue may be called more than once, and begins anew each time.
func (a *API) read(ctx context.Context, r *request, queue func(*pgx.Batch)) (reflection, error) {
	if len(r.after) == 0 {
		return a.reader.snapshot(ctx, nil, queue)
	}
	begun := time.Now()
	waiting, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	for late := false; ; {
		s, err := a.reader.snapshot(ctx, r.after, queue)
		if err != nil {
			return s, err
		}
		if len(s.Missing) == 0 || s.blocked() || late {
			return a.waited(r, s, time.Since(begun))
		}
		late = !a.arrivals.wait(waiting, r.after)
	}
}

// waited is the end of waiting: an answer if all is there or the request takes what there is, else a problem.
func (a *API) waited(r *request, s reflection, took time.Duration) (reflection, error) {
	a.metrics.waited.Observe(took.Seconds())
	if len(s.Missing) == 0 {
		a.metrics.waits.WithLabelValues("reached").Inc()
		return s, nil
	}
	result, p := "late", &problem{
		kind: notYet, asOf: &s.AsOf, missing: s.Missing,
		detail: fmt.Sprintf("order %s is at version %d and not at %d yet, after %s", s.Missing[0].Order, s.Missing[0].Is, s.Missing[0].Version, r.wait),
	}
	if s.blocked() {
		result = "blocked"
		p.kind, p.detail = orderBlocked, "an order that this is to be read after is blocked: an event of it could not be applied"
	}
	a.metrics.waits.WithLabelValues(result).Inc()
	if r.lenient {
		return s, nil
	}
	return s, p
}
