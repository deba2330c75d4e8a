package ops

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSleepTakesItsTimeOrReturnsTheCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := Sleep(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("slept %s, %v; want an hour", time.Since(began), err)
		}
		if err := Sleep(t.Context(), -time.Second); err != nil {
			t.Errorf("a negative time: %v", err)
		}
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, why)
		defer cancel()
		began = time.Now()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, why) || time.Since(began) != time.Minute {
			t.Errorf("slept %s, %v; want a minute and the cause", time.Since(began), err)
		}
		if err := Sleep(ctx, 0); !errors.Is(err, why) {
			t.Errorf("after the end: %v, want the cause", err)
		}
	})
}
