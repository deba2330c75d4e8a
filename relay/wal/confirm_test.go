package wal

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A client that helps, by telling the position it has received as written and that as flushed, moves the slot here. What
// it then has not published is lost in a crash.
func TestNothingIsAcknowledgedBeforeTheFirstConfirm_I5(t *testing.T) {
	t.Parallel()
	s := setup(t)
	start := s.inspect().Confirmed
	r := s.stream()
	var want [][]string
	for range 3 {
		want = append(want, insert(t, s.db, 2))
		r.transaction()
		s.statusUpdates(1)
		if got := s.inspect().Confirmed; got != start {
			t.Errorf("the slot was confirmed up to %s, was at %s", got, start)
		}
		if got := s.told(); got.Write != nil || got.Flush != nil || got.Replay != nil {
			t.Errorf("the server was told %v, %v, %v; want zeros", got.Write, got.Flush, got.Replay)
		}
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.free()
	if got := s.inspect().Confirmed; got != start {
		t.Errorf("the end of the stream confirmed up to %s, was at %s", got, start)
	}
	if diff := cmp.Diff(s.stream().transactions(3), want); diff != "" {
		t.Errorf("what nobody confirmed (-got +want):\n%s", diff)
	}
}

// free waits until the slot is.
func (s *source) free() {
	s.t.Helper()
	wait(s.t, "the slot to be free", func() bool { return !s.inspect().Active })
}

func TestExactlyWhatWasConfirmedIsAcknowledged_I5(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	insert(t, s.db, 1)
	confirmed := r.transaction()
	r.Confirm(confirmed.end)
	want := insert(t, s.db, 1) // is received, and not confirmed
	r.transaction()
	s.statusUpdates(2)
	got := s.told()
	if *got.Write != confirmed.end || *got.Flush != confirmed.end || *got.Replay != confirmed.end {
		t.Errorf("the server was told %s, %s, %s; want %s", got.Write, got.Flush, got.Replay, confirmed.end)
	}
	if got := s.inspect().Confirmed; got != confirmed.end {
		t.Errorf("the slot was confirmed up to %s, want %s", got, confirmed.end)
	}
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.free()
	if got := s.stream().transaction(); !slices.Equal(got.ids, want) {
		t.Errorf("after a reconnect came %v, want %v", got.ids, want)
	}
}

func TestConfirmReachesTheServerAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	const rounds = 10
	var waited time.Duration
	for range rounds {
		insert(t, s.db, 1)
		end := r.transaction().end
		began := time.Now()
		r.Confirm(end)
		wait(t, "the slot to be confirmed", func() bool { return s.inspect().Confirmed == end })
		waited += time.Since(began)
	}
	// Were it left to the regular status updates, each round would take all of their interval: the last one was just sent.
	if waited > rounds*statusEvery/2 {
		t.Errorf("%d confirmations took %s", rounds, waited)
	}
}

func TestConfirmNeverGoesBack_I5(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	insert(t, s.db, 1)
	low := r.transaction().end
	insert(t, s.db, 1)
	high := r.transaction().end
	r.Confirm(high)
	s.statusUpdates(1)
	r.Confirm(low)
	r.Confirm(0)
	s.statusUpdates(2)
	if got := s.told(); *got.Flush != high {
		t.Errorf("the server was told %s after %s", got.Flush, high)
	}
}

func TestLastConfirmReachesTheServerWhenTheStreamEnds(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for range 5 {
		r := s.stream()
		insert(t, s.db, 1)
		end := r.transaction().end
		r.Confirm(end)
		if err := r.stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		r.Confirm(end + 1) // too late, and of no harm
		s.free()
		if got := s.inspect().Confirmed; got != end {
			t.Errorf("confirmed up to %s, want %s", got, end)
		}
	}
}

func TestStatusUpdatesGoOnWhileNobodyReads(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	// More than the stream decodes ahead, and than the sockets hold: its goroutine waits for the consumer.
	const transactions, rows = 8, 4 * chunkMessages
	var want [][]string
	for range transactions {
		want = append(want, insert(t, s.db, rows))
	}
	wait(t, "the stream to be full", func() bool { return len(r.Chunks()) == chunksAhead })
	s.statusUpdates(1)
	began := s.told()
	wait(t, "the server's patience to be over", func() bool {
		now := s.told() // fails if the server has given the connection up
		return now.PID == began.PID && now.At.Sub(*began.At) > senderTimeout+statusEvery
	})
	if diff := cmp.Diff(r.transactions(transactions), want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestEndOfTheContextFreesTheSlotAtOnce(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"reading": false, "waiting for the consumer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			r := s.stream()
			if busy {
				insert(t, s.db, (chunksAhead+2)*chunkMessages)
				wait(t, "the stream to be full", func() bool { return len(r.Chunks()) == chunksAhead })
			}
			began := time.Now()
			if err := r.stop(); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			s.free()
			if took := time.Since(began); took > senderTimeout*2/3 {
				t.Errorf("it took %s", took)
			}
		})
	}
}
