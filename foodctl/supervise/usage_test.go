package supervise

import (
	"testing"
	"time"
)

func TestUsageIsReadBehindANameWithBrackets(t *testing.T) {
	t.Parallel()
	stat := []byte("42 (a) b) S 7 42 42 0 -1 4194560 500 0 0 0 150 50 25 75 20 0 9 0 100 1000 200\n")
	if got := cpu(stat); got != 2*time.Second {
		t.Errorf("cpu %v, want 2s", got)
	}
	f := fields(stat)
	if f[ppid] != "7" {
		t.Errorf("ppid %s, want 7", f[ppid])
	}
	if got := ticks(f, utime, stime, cutime, cstime); got != 3*time.Second {
		t.Errorf("with children %v, want 3s", got)
	}
	if got := cpu([]byte("nonsense")); got != 0 {
		t.Errorf("cpu of nonsense %v, want 0", got)
	}
}

func TestHighWaterIsInBytes(t *testing.T) {
	t.Parallel()
	if got := highWater([]byte("VmPeak:\t 9 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 8 kB\n")); got != 1234<<10 {
		t.Errorf("high water %d, want %d", got, 1234<<10)
	}
}

func TestBackoffGrowsFromNothingToItsBound(t *testing.T) {
	t.Parallel()
	if backoff(0) != 0 || backoff(1) != 0 {
		t.Error("a first death is not to wait")
	}
	for quick := 2; quick < 100; quick++ {
		if d := backoff(quick); d < minBackoff/2 || d > maxBackoff {
			t.Errorf("after %d quick deaths %v: want %v to %v", quick, d, minBackoff/2, maxBackoff)
		}
	}
}
