package app

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// heavySink is a fakeSink whose events have a size.
type heavySink struct {
	fakeSink

	size int
}

func (s *heavySink) Add(ctx context.Context, row outbox.Row, src topic.Source) (int, error) {
	_, err := s.fakeSink.Add(ctx, row, src)
	return s.size, err
}

// TestABatchAlsoEndsByItsBytes_I3: between transactions at the soft limit, inside of one only at the hard one.
func TestABatchAlsoEndsByItsBytes_I3(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 1, 1, 1, 9)
	w.limits = limits{softEvents: 1000, hardEvents: 1000, softBytes: 20, hardBytes: 40, age: time.Hour, idleBytes: 1}
	src := &fakeSource{w: w, chunks: make(chan *wal.Chunk, 1)}
	src.chunks <- &wal.Chunk{Messages: w.messages()}
	intake, stop := context.WithCancel(t.Context())
	sink := &heavySink{fakeSink: fakeSink{w: w}, size: 10}
	p := newPump(src, sink, w.cp, w.limits, newMetrics(prometheus.NewRegistry()))
	if err := p.take(t.Context(), (<-src.chunks).Messages); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := p.run(t.Context(), intake); err != nil {
		t.Fatal(err)
	}
	w.limits.hardEvents, w.limits.softEvents = 0, 0 // world.check's bound is in events, this test's in bytes
	if len(w.events) != 13 {
		t.Errorf("published %d of 13", len(w.events))
	}
	for _, b := range w.broken {
		if b != "I3: a transaction of 9 rows was split" {
			t.Error(b)
		}
	}
	// Two of one row each, the same again, then nine rows cut behind four, and behind four.
	if got := w.commits; len(got) != 5 || got[0] != 2 || got[1] != 2 {
		t.Errorf("batches of %v transactions, want [2 2 1 1 1]", got)
	}
}

// timedSink is a fakeSink that notes when it was first told to commit.
type timedSink struct {
	fakeSink

	first time.Time
}

func (s *timedSink) End(ctx context.Context, cp checkpoint.Record) (checkpoint.Record, error) {
	if s.first.IsZero() {
		s.first = time.Now()
	}
	return s.fakeSink.End(ctx, cp)
}

// TestATransactionThatArrivesSlowlyIsCutByAge_I3: readers wait for an open Kafka transaction, so it does not wait for the
// rest of a source transaction.
func TestATransactionThatArrivesSlowlyIsCutByAge_I3(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(2)
		w.limits.age = 500 * time.Millisecond
		w.limits.hardEvents, w.limits.softEvents = 2, 2 // so that the model lets a transaction of two rows be split
		src := &fakeSource{w: w, chunks: make(chan *wal.Chunk, 1)}
		sink := &timedSink{fakeSink: fakeSink{w: w}}
		began := time.Now()
		intake, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- newPump(src, sink, w.cp, w.limits, newMetrics(prometheus.NewRegistry())).run(t.Context(), intake)
		}()
		messages := w.messages()
		const begin = 4 // two keepalives, BEGIN and the first row; behind them the second row and COMMIT
		src.chunks <- &wal.Chunk{Messages: messages[:begin]}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		if part := w.cp.At.Partial; len(w.events) != 1 || part == nil || part.Rows != 1 {
			t.Errorf("published %v up to %+v, want the first row and a place behind it", w.events, w.cp.At)
		}
		if age := sink.first.Sub(began); age != w.limits.age {
			t.Errorf("cut after %v, want %v", age, w.limits.age)
		}
		src.chunks <- &wal.Chunk{Messages: messages[begin:]}
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.verify(t)
	})
}

// TestABacklogIsNotCommittedInCrumbs: while the stream says that more is on its way, what is there waits for it, for a moment.
func TestABacklogIsNotCommittedInCrumbs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		more    bool
		every   time.Duration
		commits int // of a hundred transactions
	}{{false, moreWithin / 2, 100}, {true, moreWithin / 2, 1}, {true, moreWithin * 2, 100}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(slices.Repeat([]int{1}, 100)...)
			w.limits.softEvents, w.limits.hardEvents = 1000, 1000
			src := &fakeSource{w: w, chunks: make(chan *wal.Chunk, 1)}
			intake, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- newPump(src, &fakeSink{w: w}, w.cp, w.limits, newMetrics(prometheus.NewRegistry())).run(t.Context(), intake)
			}()
			for _, chunk := range chunksOf(w.messages()) {
				src.chunks <- &wal.Chunk{Messages: chunk, More: tt.more}
				time.Sleep(tt.every) //nolint:forbidigo // the bubble's clock
			}
			time.Sleep(moreWithin) //nolint:forbidigo // the bubble's clock
			synctest.Wait()
			if len(w.events) != 100 || len(w.commits) != tt.commits {
				t.Errorf("more %v, every %v: %d events in %d commits, want 100 in %d", tt.more, tt.every, len(w.events), len(w.commits), tt.commits)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			w.verify(t)
		})
	}
}

// TestASteadyStreamIsCommittedAtIntervals: with a spacing, transactions that follow each other share one of Kafka's, and
// one that comes after a silence does not wait.
func TestASteadyStreamIsCommittedAtIntervals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		spacing time.Duration
		commits int // of a hundred transactions, one every 10 ms
	}{{0, 100}, {200 * time.Millisecond, 6}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(slices.Repeat([]int{1}, 100)...)
			w.limits.softEvents, w.limits.hardEvents, w.limits.spacing = 1000, 1000, tt.spacing
			src := &fakeSource{w: w, chunks: make(chan *wal.Chunk, 1)}
			intake, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- newPump(src, &fakeSink{w: w}, w.cp, w.limits, newMetrics(prometheus.NewRegistry())).run(t.Context(), intake)
			}()
			for i, chunk := range chunksOf(w.messages()) {
				src.chunks <- &wal.Chunk{Messages: chunk}
				synctest.Wait()
				if i == 0 && len(w.events) != 1 {
					t.Error("the first event waits")
				}
				time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the bubble's clock
			}
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
			synctest.Wait()
			if len(w.events) != 100 || len(w.commits) != tt.commits {
				t.Errorf("spacing %v: %d events in %d commits, want 100 in %d", tt.spacing, len(w.events), len(w.commits), tt.commits)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			w.verify(t)
		})
	}
}

// chunksOf cuts messages behind each commit, and leaves keepalives out.
func chunksOf(messages []wal.Message) (chunks [][]wal.Message) {
	var chunk []wal.Message
	for _, m := range messages {
		if m.Kind == wal.Idle {
			continue
		}
		chunk = append(chunk, m)
		if m.Kind == wal.Commit {
			chunks, chunk = append(chunks, chunk), nil
		}
	}
	return chunks
}

// TestPermanentErrorsEndTheRelayOthersDoNot: a session that could only meet the same error again is not begun.
func TestPermanentErrorsEndTheRelayOthersDoNot(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&checkpoint.Refusal{}, checkpoint.ErrNewer, checkpoint.ErrDamaged, checkpoint.ErrTopic, topic.ErrUnpublishable, wal.ErrPublication,
	} {
		if !permanent(err) {
			t.Errorf("%v would be tried again for ever", err)
		}
	}
	for _, err := range []error{context.DeadlineExceeded, wal.ErrSlotActive, errServerStopping} {
		if permanent(err) {
			t.Errorf("%v ends the relay, a new session would mend it", err)
		}
	}
}

// What was read at the start does not hold any more: the batches are made smaller, and an event that no batch can hold is
// named.
func TestLimitThatIsLoweredUnderARunningRelay(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ended := make(chan error, 1)
	r := s.relay()
	go func() { ended <- r.supervise(t.Context(), t.Context()) }()
	s.write(1, 1)
	s.published()
	lower := func(limit string) {
		t.Helper()
		_, err := kadm.NewClient(s.kafka).AlterTopicConfigs(t.Context(),
			[]kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, s.config.Topic)
		if err != nil {
			t.Fatal(err)
		}
	}
	lower("20000")
	s.write(1, 3000) // some 60 KB, compressed
	s.published()
	lower("200")
	s.write(1, 1)
	if err := <-ended; !errors.Is(err, publish.ErrTooLarge) {
		t.Errorf("got %v, want that an event is too large", err)
	}
}
