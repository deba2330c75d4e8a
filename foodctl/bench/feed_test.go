package bench

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestAnEventIsVisibleWhenTheReadModelReflectsIt(t *testing.T) {
	t.Parallel()
	f := &feed{}
	reached := func(nexts ...int64) (c claims) {
		for part, next := range nexts {
			c[part].next = next
		}
		return c
	}
	f.note([]position{{0, 0}, {1, 0}, {0, 1}}, ms(1), ms(5))
	f.show(reached(0, 0, 0), ms(6))
	f.show(reached(1, 0, 0), ms(7)) // the offset of the first one is passed
	f.show(reached(3, 0, 0), ms(8))
	if f.settled() {
		t.Error("settled, and nothing of partition 1 is visible")
	}
	f.note([]position{{0, 2}, {0, 3}}, ms(7), ms(9)) // the watcher saw the first of them before its acknowledgement came
	f.show(reached(4, 1, 0), ms(11))
	want := []time.Duration{ms(7), ms(11), ms(8), ms(9), ms(11)}
	for i, s := range f.steps {
		if s.visible != want[i] {
			t.Errorf("event %d was visible at %s, want %s", i, s.visible, want[i])
		}
	}
	if !f.settled() {
		t.Error("not settled, and all is visible")
	}
}

func TestDelayLeavesTheWarmUpOut(t *testing.T) {
	t.Parallel()
	f := &feed{rate: 100} // one each 10 ms
	steps := []step{
		{committed: ms(500), visible: ms(900)}, // warm-up
		{committed: ms(12), visible: ms(17)},
		{committed: ms(22), visible: ms(22)},
		{committed: ms(33)}, // never visible: the check's matter
		{committed: ms(42), visible: ms(50)},
	}
	want := RateDelay{
		Rate: 100, Events: 3, Achieved: 2 / 0.030,
		Commit:  Quantiles{Min: 0.002, P50: 0.002, Max: 0.002},
		Visible: Quantiles{Min: 0, P50: 0.005, Max: 0.008},
	}
	if diff := cmp.Diff(want, f.evaluate(steps, 1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPartitionIsAppliedAgainWithItsFirstEventThatWasSentAfterTheFault(t *testing.T) {
	t.Parallel()
	f := &feed{steps: []step{
		{position: position{part: 1}, sent: ms(5), committed: ms(12), visible: ms(14)}, // the one that was struck may have applied it
		{position: position{part: 0}, sent: ms(11), committed: ms(12), visible: ms(13)},
		{position: position{part: 1}, sent: ms(11), committed: ms(12), visible: ms(40)},
		{position: position{part: 1}, sent: ms(13), committed: ms(14), visible: ms(40)},
	}}
	if at, found := f.first(1, ms(10)); !found || at != ms(40) {
		t.Errorf("%s, %v: want 40ms", at, found)
	}
	if at, found := f.first(2, ms(10)); found {
		t.Errorf("nothing was sent to partition 2, and %s was found", at)
	}
}

func TestHandoversAboveTheLimitAreCounted(t *testing.T) {
	t.Parallel()
	s := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	got := handover(Pause, s(8), []time.Duration{s(7), s(11.5), s(9)}, []time.Duration{s(6), s(10), s(8)})
	want := Handover{
		Fault: Pause, Rounds: 3, Limit: 11, Above: 1, All: []float64{7, 11.5, 9},
		Applied: Quantiles{Min: 7, P50: 9, Max: 11.5}, Claimed: Quantiles{Min: 6, P50: 8, Max: 10},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
