package rebuild

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

const countApplied = `
SELECT coalesce((SELECT sum(applied_events) FROM rebuild.projection_offsets WHERE topic = $1), 0)::bigint,
       coalesce((SELECT sum(applied_events) FROM public.projection_offsets WHERE topic = $1), 0)::bigint`

// watch says once a second how far the rebuild is, until stop is called.
func (r *Rebuild) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var printing sync.WaitGroup
	printing.Go(func() {
		began := time.Now()
		first := int64(-1)
		for ops.Sleep(ctx, time.Second) == nil {
			var done, all int64
			if err := r.live.QueryRow(ctx, countApplied, r.Topic).Scan(&done, &all); err != nil {
				continue // what is wrong with it shows elsewhere
			}
			if first < 0 {
				first = done
				began = time.Now()
				continue
			}
			r.say("%s", estimate(done, all, float64(done-first)/time.Since(began).Seconds()))
		}
	})
	return func() {
		cancel()
		printing.Wait()
	}
}

// estimate says how many events of all there are, and when the rest will be, at a rate by the second.
func estimate(done, all int64, rate float64) string {
	text := fmt.Sprintf("%d of %d events, %.0f a second", done, all, rate)
	if all > done && rate >= 1 {
		text += fmt.Sprintf(", about %v to go", time.Duration(float64(all-done)/rate*float64(time.Second)).Round(time.Second))
	}
	return text
}
