package ops

import (
	"context"
	"time"
)

// Sleep waits for d, or until ctx ends, and then returns its cause. A d that is not positive is over at once; a context
// that has ended already wins.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
