package query

import (
	"log/slog"
	"testing"
)

func TestAListenerWhoTakesNothingIsCutOffAndNobodyElse(t *testing.T) {
	t.Parallel()
	h := newHub(reader{}, slog.New(slog.DiscardHandler))
	begin := position{source: "a", applied: map[int32]int64{0: 0}}
	cuts := 0
	sleeper, from := h.join(subject{customer: 1}, begin, func() { cuts++ })
	if from.String() != begin.String() {
		t.Fatalf("it begins at %s, want %s", from, begin)
	}
	awake, _ := h.join(subject{customer: 1}, position{}, func() { t.Error("the one who takes is cut off") })
	for n := int64(1); n <= backlog+2; n++ {
		from, _ := h.next()
		at := position{source: "a", applied: map[int32]int64{0: n}}
		h.deliver(from, page{changes: []change{{Customer: 1, Position: n}}, reached: at, end: at})
		if got := h.take(awake); len(got.changes) != 1 || got.changes[0].Position != n || got.position.String() != at.String() {
			t.Fatalf("got %+v at %d", got, n)
		}
		if want := min(n, backlog); n <= backlog && (int64(len(sleeper.queue)) != want || cuts != 0) {
			t.Fatalf("%d changes wait, %d cuts, want %d and none", len(sleeper.queue), cuts, want)
		}
	}
	if got := h.take(sleeper); cuts != 1 || !got.slow || len(got.changes) != 0 {
		t.Errorf("%d cuts, %d changes left: want it cut off once, and nothing kept for it", cuts, len(got.changes))
	}
	stale := page{changes: []change{{Customer: 1, Position: 9999}}, reached: begin, end: begin}
	if h.deliver(begin, stale); len(h.take(awake).changes) > 0 {
		t.Error("a page that begins elsewhere was handed out")
	}
	h.leave(sleeper)
	h.leave(sleeper)
	h.leave(awake)
	if _, wanted := h.next(); wanted {
		t.Error("nobody listens, and the hub reads on")
	}
}
