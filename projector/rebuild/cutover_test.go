package rebuild

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// Partitions stand wherever the live read model has them: one that has stopped long ago holds up none of the others.
func TestALiveReadModelThatIsBehindOnOnePartition_I8_I10(t *testing.T) {
	t.Parallel()
	w := setup(t, 3)
	events := viewtest.History(51, 40, 4000)
	w.send(events[:300])
	w.project("public")
	w.send(events[300:])
	w.project("public", 1, 2)
	out, err := w.rebuild(w.live)
	w.must(out, err)
	if !strings.Contains(out, "they are equal") {
		t.Error(out)
	}
	const differing = `
SELECT count(*)
FROM public.projection_offsets AS p FULL JOIN former.projection_offsets AS f USING (topic, part)
WHERE (p.next_offset, p.applied_events) IS DISTINCT FROM (f.next_offset, f.applied_events)`
	if n := w.number(differing); n != 0 || w.number(`SELECT count(*) FROM projection_offsets`) != 3 {
		t.Errorf("%d partitions are elsewhere than in what was live", n)
	}
	w.project("public")
	viewtest.Equal(t, w.live, events)
}

// Whatever becomes of the answer to its COMMIT, a cut-over says what it has done.
func TestACutOverWhoseCommitHasNoAnswer_I8(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		at   pgproxy.Point
		late bool // it is still on its way when the program looks
		done bool
	}{
		"the request is lost": {pgproxy.Request, false, false},
		"the answer is lost":  {pgproxy.Answer, false, true},
		"it comes late":       {pgproxy.Request, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, 1)
			events := viewtest.History(52, 10, 100)
			w.send(events)
			w.project("public")
			proxy, url := pgproxy.Start(t, w.url)
			swapped := false
			hold := proxy.Hold(tt.at, func(x *pgproxy.Exchange) bool {
				if swapped && strings.EqualFold(x.SQL[0], "commit") {
					return true
				}
				swapped = swapped || x.Has("read_model_swap")
				return false
			})
			if tt.late {
				hold.CutClient()
				ctx, stop := context.WithCancel(t.Context())
				var releasing sync.WaitGroup
				releasing.Go(func() {
					w.waits(ctx)
					hold.Release()
				})
				defer releasing.Wait()
				defer stop()
			} else {
				hold.Cut()
			}
			out, err := w.rebuild(w.connect(url, "public"))
			if (err == nil) != tt.done || strings.Contains(out, "cut over at") != tt.done || w.number(`SELECT count(*) FROM cut_overs`) == 1 != tt.done {
				t.Fatalf("%v\n%s", err, out)
			}
			if !tt.done {
				out, err = w.rebuild(w.live)
				w.must(out, err)
			}
			viewtest.Equal(t, w.live, events)
		})
	}
}

// waits waits until unanswered waits for the live offsets.
func (w *world) waits(ctx context.Context) {
	const waiting = `
SELECT count(*) > 0
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted
  AND query = 'SELECT FROM public.projection_offsets'
  AND datname = current_database()`
	for there := false; !there && ctx.Err() == nil; {
		if err := w.live.QueryRow(ctx, waiting).Scan(&there); err != nil && ctx.Err() == nil {
			w.Error(err)
			return
		}
		_ = ops.Sleep(ctx, 10*time.Millisecond)
	}
}

// What was done with dead letters since a cut-over is done when it is rolled back.
func TestARollBackKnowsWhatWasDoneWithLetters_I9(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	events := viewtest.History(53, 6, 200)
	lost := 60
	for events[lost].Version != 2 {
		lost++
	}
	bad := unacceptable()
	w.send(append(append(bad, events[:lost]...), events[lost+1:]...))
	w.project("public")
	before := w.number(`SELECT count(*) FROM dead_letters`)
	if before < 3 {
		t.Fatalf("%d letters: choose another seed", before)
	}
	out, err := w.rebuild(w.live)
	w.must(out, err)

	w.send(events[lost : lost+1])
	w.project("public")
	v := view.New(w.live, w.config.Topic, 100)
	if done, err := v.Redrive(t.Context(), events[lost].Order, consumer.Decode); err != nil || done.Left != 0 || done.Applied == 0 {
		t.Fatalf("redrive: %+v, %v", done, err)
	}
	if n, err := v.Discard(t.Context(), view.Which{Order: bad[1].Order}, "nonsense"); err != nil || n != 1 {
		t.Fatalf("%d discarded, %v", n, err)
	}
	if n := w.number(`SELECT count(*) FROM former.dead_letters WHERE state = 'waiting'`); n != before {
		t.Fatalf("%d letters wait in the former read model, want %d", n, before)
	}
	w.project(view.Former)
	if _, err := RollBack(t.Context(), w.live, w.connect(w.url, view.Former), w.config.Topic); err != nil {
		t.Fatal(err)
	}
	viewtest.Equal(t, w.live, append(bad[:1], events...))
	if n := w.number(`SELECT count(*) FROM dead_letters WHERE state = 'discarded' AND note = 'nonsense'`); n != 1 || w.number(`SELECT count(*) FROM dead_letters WHERE state = 'waiting'`) != 0 {
		t.Errorf("%d letters are discarded", n)
	}
}

// Without one nothing is held up: not for a moment, though a few events are all that is missing.
func TestARollBackNeedsAProjector(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	events := viewtest.History(54, 30, 200)
	w.send(events[:100])
	w.project("public")
	out, err := w.rebuild(w.live)
	w.must(out, err)
	w.send(events[100:])
	w.project("public")
	reading, stop := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		for reading.Err() == nil {
			if _, err := w.live.Exec(reading, `SET lock_timeout = '1s'; SELECT FROM projection_offsets`); err != nil && reading.Err() == nil {
				t.Error(err)
			}
			_ = ops.Sleep(reading, 10*time.Millisecond)
		}
	})
	_, err = RollBack(t.Context(), w.live, w.connect(w.url, view.Former), w.config.Topic)
	stop()
	reader.Wait()
	if err == nil || !strings.Contains(err.Error(), "does a projector run?") {
		t.Errorf("roll back to what stands still: %v", err)
	}
}

// More orders than may be blocked were so in the course of time.
func TestARebuildHasRoomForLettersThatWereSettled_I9(t *testing.T) {
	t.Parallel()
	w := setup(t, 1)
	w.config.MaxBlocked = 1
	v := view.New(w.live, w.config.Topic, 100)
	var all []viewtest.Event
	for range 3 {
		bad := unacceptable()
		order := uuid.New()
		bad[0].Order, bad[1].Order = order, order
		bad[0].ID, bad[1].ID = uuid.New(), uuid.New()
		w.send(bad)
		w.project("public")
		if n, err := v.Discard(t.Context(), view.Which{Order: order}, "nonsense"); err != nil || n != 1 {
			t.Fatalf("%d discarded, %v", n, err)
		}
		all = append(all, bad[0])
	}
	out, err := w.rebuild(w.live)
	w.must(out, err)
	viewtest.Equal(t, w.live, all)
}
