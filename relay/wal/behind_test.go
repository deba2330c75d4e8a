package wal

import (
	"testing"
	"time"
)

func TestStreamIsBehindByItsOwnClock(t *testing.T) {
	t.Parallel()
	for _, apart := range []time.Duration{0, 40 * time.Millisecond, -time.Hour} {
		var b behind
		now := time.Now()
		arrives := func(after time.Duration) bool {
			now = now.Add(10 * time.Millisecond)
			return b.is(now.Add(-apart-after), now)
		}
		for range 100 * 60 { // a clock that is ahead is not believed at once: it might be a backlog
			arrives(2 * time.Millisecond)
		}
		for _, late := range []time.Duration{2 * time.Millisecond, backlogAge} {
			if arrives(late) {
				t.Errorf("clocks %v apart: behind by %v", apart, late)
			}
		}
		for range 100 * 600 { // ten minutes of backlog do not become the measure
			if !arrives(time.Second) {
				t.Fatalf("clocks %v apart: a second late is not behind", apart)
			}
		}
		if arrives(2 * time.Millisecond) {
			t.Errorf("clocks %v apart: still behind when it has caught up", apart)
		}
	}
}
