package consumer

import (
	"context"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

const lagInterval = time.Second

// watchLag measures the lag until ctx ends: against the last stable offset, because what is beyond it cannot be read yet.
func (s *session) watchLag(ctx context.Context) {
	behindSince := make(map[int32]time.Time)
	for ops.Sleep(ctx, lagInterval) == nil {
		workers := s.all()
		if len(workers) == 0 {
			continue
		}
		ends, err := s.admin.ListCommittedOffsets(ctx, s.cfg.Topic)
		if err != nil {
			continue // the gauges keep their last value; a broker that is away shows in the group's own errors
		}
		s.countBlocked(ctx, workers)
		now := time.Now()
		for _, w := range workers {
			end, err := listed(ends, s.cfg.Topic, w.part)
			if err != nil {
				continue
			}
			s.setLag(w, end, now, behindSince)
		}
	}
}

func (s *session) setLag(w *worker, end int64, now time.Time, behindSince map[int32]time.Time) {
	lag := max(0, end-w.position.Load())
	seconds := 0.0
	switch oldest := w.oldest.Load(); {
	case lag == 0:
		delete(behindSince, w.part)
	case oldest != 0:
		seconds = now.Sub(time.UnixMilli(oldest)).Seconds()
	default: // not fetched yet: it is at least as old as the first sight of it
		if behindSince[w.part].IsZero() {
			behindSince[w.part] = now
		}
		seconds = now.Sub(behindSince[w.part]).Seconds()
	}
	if s.worker(w.part) != w { // given up meanwhile, and its gauges with it
		return
	}
	s.metrics.lagEvents.WithLabelValues(label(w.part)).Set(float64(lag))
	s.metrics.lagSeconds.WithLabelValues(label(w.part)).Set(max(0, seconds))
}

// countBlocked counts what waits in the table, which a person may have redriven or discarded meanwhile.
func (s *session) countBlocked(ctx context.Context, workers []*worker) {
	blocked, err := s.view.Blocked(ctx)
	if err != nil {
		return // as above
	}
	for _, w := range workers {
		if s.worker(w.part) == w {
			s.metrics.blocked.WithLabelValues(label(w.part)).Set(float64(blocked[w.part]))
		}
	}
}
