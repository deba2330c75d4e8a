package console

import (
	"sync"
	"testing"
	"time"
)

func TestASlowStreamGetsTheNewestAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	h := newHub()
	slow, _ := h.join()
	const n = 1000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range int64(n) {
			h.publish(&Snapshot{Number: i + 1})
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the hub waits for a stream that takes nothing")
	}
	if s := <-slow.next; s.Number != n {
		t.Errorf("the stream got snapshot %d, want the newest, %d", s.Number, n)
	}
	select {
	case s := <-slow.next:
		t.Errorf("and then snapshot %d, want nothing", s.Number)
	default:
	}
}

func TestEveryStreamHasThePointsBeforeItsFirstSnapshot(t *testing.T) {
	t.Parallel()
	h := newHub()
	for i := range int64(kept + 50) {
		h.mark(Mark{Text: "noted"})
		h.publish(&Snapshot{Number: i + 1})
	}
	st, points := h.join()
	if len(points) != kept || points[0].Number != 51 || points[kept-1].Number != kept+50 {
		t.Fatalf("%d points from %d to %d, want the last %d", len(points), points[0].Number, points[len(points)-1].Number, kept)
	}
	if m := points[7].Marks; len(m) != 1 || m[0].Text != "noted" {
		t.Errorf("marks %v, want the one that was noted before that snapshot", m)
	}
	if s := <-st.next; s.Number != kept+50 {
		t.Errorf("first snapshot %d, want the newest", s.Number)
	}
	h.leave(st)
	if h.watched() {
		t.Error("somebody looks after all have left")
	}
}

func TestTwoHundredStreamsAreTold(t *testing.T) {
	t.Parallel()
	h := newHub()
	var told sync.WaitGroup
	for range 200 {
		st, _ := h.join()
		told.Go(func() {
			for {
				select {
				case s := <-st.next:
					if s.Number == 50 {
						return
					}
				case <-st.end:
					t.Error("the stream ended")
					return
				}
			}
		})
	}
	for i := range int64(50) {
		h.publish(&Snapshot{Number: i + 1})
	}
	told.Wait()
	h.close()
	if st, _ := h.join(); st != nil {
		t.Error("a closed hub takes a stream")
	}
}
