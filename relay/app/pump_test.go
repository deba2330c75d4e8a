package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// The pump against a model of its neighbours: a Postgres that sends again what was not acknowledged, and forgets
// acknowledgements when it crashes; a Kafka that commits a batch with its checkpoint or not at all. Every call of the
// pump can be made to fail, before or after it took effect, and after each failure the relay starts anew from what the
// model holds.

var errInjected = errors.New("injected")

// world is what survives a crash of the relay.
type world struct {
	log       []sourceTx
	events    []string          // committed in Kafka, in order
	cp        checkpoint.Record // committed with them
	confirmed outbox.LSN        // what Postgres was told
	commits   []int             // how many source transactions each Kafka transaction touched
	limits    limits

	calls  int // of source and sink, counted over all starts
	failAt int // the call that fails; -1 for none
	late   bool
	faults int
	broken []string // what was violated
}

// sourceTx is a committed transaction. A transaction without rows stands for log of other tables: it is not sent, and
// keepalives speak of it.
type sourceTx struct {
	commit, end outbox.LSN
	rows        []string
}

func newWorld(sizes ...int) *world {
	w := &world{failAt: -1, limits: limits{
		softEvents: 3, softBytes: 1 << 30, hardEvents: 5, hardBytes: 1 << 30, age: time.Hour, idleBytes: 1,
	}}
	lsn := outbox.LSN(100)
	for i, n := range sizes {
		// Every other commit record stands right behind its predecessor's, as it does when the two ran side by side: then
		// the one's commit LSN is the other's end LSN.
		tx := sourceTx{commit: lsn + outbox.LSN(i%2)*5, end: lsn + 10}
		for r := range n {
			tx.rows = append(tx.rows, fmt.Sprintf("%d.%d", i, r))
		}
		w.log = append(w.log, tx)
		lsn += 10
	}
	w.cp = checkpoint.Record{Format: 1, Phase: checkpoint.Streaming, At: checkpoint.Position{End: 100}}
	return w
}

// call counts a call. It says whether it is the one to fail before it took effect, or after.
func (w *world) call() (before, after bool) {
	hit := w.calls == w.failAt
	w.calls++
	if hit {
		w.faults++
	}
	return hit && !w.late, hit && w.late
}

func (w *world) violated(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// messages are what Postgres sends to a new connection: it decodes from somewhere below the acknowledged position, and
// its keepalives begin there.
func (w *world) messages() []wal.Message {
	out := []wal.Message{{Kind: wal.Idle, LSN: 90}, {Kind: wal.Idle, LSN: max(w.confirmed, 95)}}
	for _, tx := range w.log {
		if tx.commit < w.confirmed {
			continue
		}
		if len(tx.rows) > 0 {
			out = append(out, wal.Message{Kind: wal.Begin, LSN: tx.commit, Time: time.Unix(1, 0)})
			for i, id := range tx.rows {
				out = append(out, wal.Message{Kind: wal.Insert, Row: outbox.Row{ID: []byte(id)}, Last: i == len(tx.rows)-1})
			}
			out = append(out, wal.Message{Kind: wal.Commit, LSN: tx.end})
		}
		out = append(out, wal.Message{Kind: wal.Idle, LSN: tx.end})
	}
	return out
}

// fakeSource is a connection of a world's Postgres.
type fakeSource struct {
	w      *world
	chunks chan *wal.Chunk
}

func (s *fakeSource) Chunks() <-chan *wal.Chunk { return s.chunks }

// Release spoils what is not the pump's any more.
func (s *fakeSource) Release(c *wal.Chunk) {
	for _, m := range c.Messages {
		for i := range m.Row.ID {
			m.Row.ID[i] = 'x'
		}
	}
	clear(c.Messages)
}

func (s *fakeSource) Confirm(lsn outbox.LSN) {
	before, after := s.w.call()
	if before {
		panic(errInjected) // Confirm cannot fail; the process can die in it
	}
	if lsn > s.w.cp.At.End {
		s.w.violated("I5: confirmed %s, the committed checkpoint holds %s", lsn, s.w.cp.At.End)
	}
	s.w.confirmed = max(s.w.confirmed, lsn)
	if after {
		panic(errInjected)
	}
}

// fakeSink is a producer of a world's Kafka. What was ended is committed when the next is ended, or when the pump has looked
// for it twice: the first time is right behind End, so that in between more can be added.
type fakeSink struct {
	w       *world
	open    bool
	pending []string
	touched map[outbox.LSN]bool

	ended   *fakeTransaction
	looked  bool
	results chan publish.Result
}

type fakeTransaction struct {
	events     []string
	touched    int
	checkpoint checkpoint.Record
}

func (s *fakeSink) Begin() error {
	before, after := s.w.call()
	if before {
		return errInjected
	}
	if s.open {
		s.w.violated("a transaction was begun inside of one")
	}
	s.open, s.pending, s.touched = true, nil, map[outbox.LSN]bool{}
	if after {
		return errInjected
	}
	return nil
}

func (s *fakeSink) Add(_ context.Context, row outbox.Row, src topic.Source) (int, error) {
	before, after := s.w.call()
	if before {
		return 0, errInjected
	}
	if !s.open {
		s.w.violated("event %s outside of a transaction", row.ID)
	}
	s.pending = append(s.pending, string(row.ID))
	s.touched[src.Commit] = true
	if after {
		return 0, errInjected
	}
	return 1, nil
}

func (s *fakeSink) End(_ context.Context, cp checkpoint.Record) (checkpoint.Record, error) {
	before, after := s.w.call()
	if before {
		return cp, errInjected
	}
	s.commit()
	if cp.At.End < s.w.cp.At.End {
		s.w.violated("I5: the checkpoint goes back from %s to %s", s.w.cp.At.End, cp.At.End)
	}
	s.ended = &fakeTransaction{s.pending, len(s.touched), cp}
	s.open, s.looked = false, false
	if after {
		return cp, errInjected
	}
	return cp, nil
}

func (s *fakeSink) Results() <-chan publish.Result {
	if s.looked {
		s.commit()
	}
	s.looked = true
	if s.results == nil {
		s.results = make(chan publish.Result, 4)
	}
	return s.results
}

// commit commits what was ended, if it does not fail: then it is committed or not, and nothing else is told.
func (s *fakeSink) commit() {
	if s.ended == nil {
		return
	}
	tx := s.ended
	s.ended = nil
	before, after := s.w.call()
	if !before {
		s.w.commit(tx)
	}
	r := publish.Result{Checkpoint: tx.checkpoint}
	if before || after {
		r = publish.Result{Err: errInjected}
	}
	s.results <- r
}

// die is the end of the relay: what was under way may still have been committed.
func (s *fakeSink) die() {
	if s.ended != nil && s.w.late {
		s.w.commit(s.ended)
	}
}

func (w *world) commit(tx *fakeTransaction) {
	w.events = append(w.events, tx.events...)
	w.cp = tx.checkpoint
	w.commits = append(w.commits, tx.touched)
	w.check(tx.checkpoint)
}

// check holds a checkpoint against the log: exactly what it claims must be in Kafka (I4), in commit order (I3).
func (w *world) check(cp checkpoint.Record) {
	var want []string
	for _, tx := range w.log {
		switch part := cp.At.Partial; {
		case tx.end <= cp.At.End:
			want = append(want, tx.rows...)
		case part != nil && tx.commit == part.Commit:
			want = append(want, tx.rows[:part.Rows]...)
			if len(tx.rows) <= w.limits.hardEvents-w.limits.softEvents {
				w.violated("I3: a transaction of %d rows was split", len(tx.rows))
			}
		}
	}
	if !slices.Equal(w.events, want) {
		w.violated("I4: checkpoint %+v stands for %v, Kafka holds %v", cp.At, want, w.events)
	}
	if cp.Events != int64(len(w.events)) {
		w.violated("the checkpoint counts %d events of %d", cp.Events, len(w.events))
	}
}

// start runs one relay until everything was sent or a call failed.
func (w *world) start(t interface{ Helper() }, chunk int) (err error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	intake, stop := context.WithCancel(context.Background())
	src := &fakeSource{w: w, chunks: make(chan *wal.Chunk)}
	fed := make(chan struct{})
	messages := w.messages()
	go func() {
		defer close(fed)
		defer stop()
		for part := range slices.Chunk(messages, chunk) {
			select {
			case src.chunks <- &wal.Chunk{Messages: part}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel(errInjected)
		<-fed
		if r := recover(); r != nil {
			if r != errInjected { //nolint:errorlint // the very value
				panic(r)
			}
			err = errInjected
		}
	}()
	sink := &fakeSink{w: w}
	defer sink.die()
	p := newPump(src, sink, w.cp, w.limits, newMetrics(prometheus.NewRegistry()))
	return p.run(ctx, intake)
}

// finish starts relays until all is published, without further failures.
func (w *world) finish(t interface{ Helper() }, chunk int) error {
	t.Helper()
	for range 3 {
		if err := w.start(t, chunk); err != nil && !errors.Is(err, errInjected) {
			return err
		}
	}
	return nil
}

func (w *world) verify(t interface {
	Helper()
	Errorf(string, ...any)
},
) {
	t.Helper()
	var want []string
	for _, tx := range w.log {
		want = append(want, tx.rows...)
	}
	if !slices.Equal(w.events, want) {
		w.violated("published %v, want %v", w.events, want)
	}
	for _, b := range w.broken {
		t.Errorf("%s", b)
	}
}

// TestEveryCallMayFail_I3_I4_I5 lets each call fail in turn, until the fault no longer fires: that is every point at which
// the pump can be interrupted.
func TestEveryCallMayFail_I3_I4_I5(t *testing.T) {
	t.Parallel()
	for _, chunk := range []int{1, 4, 1000} {
		for _, late := range []bool{false, true} {
			for _, forget := range []bool{false, true} {
				t.Run(fmt.Sprintf("chunk=%d,late=%v,forget=%v", chunk, late, forget), func(t *testing.T) {
					t.Parallel()
					n := 0
					for ; ; n++ {
						w := newWorld(1, 2, 0, 12, 1, 1, 3, 0, 0, 6, 2)
						w.failAt, w.late = n, late
						if err := w.start(t, chunk); err != nil && !errors.Is(err, errInjected) {
							t.Fatalf("call %d: %v", n, err)
						}
						if forget {
							w.confirmed = 0 // Postgres crashed, too
						}
						if err := w.finish(t, chunk); err != nil {
							t.Fatalf("after call %d failed: %v", n, err)
						}
						w.verify(t)
						if t.Failed() {
							t.Fatalf("above: with call %d failing", n)
						}
						if w.faults == 0 {
							break
						}
					}
					if n < 20 {
						t.Errorf("only %d calls could fail: the scenario is too small", n)
					}
				})
			}
		}
	}
}

// TestAnyLogAnyFaults_I3_I4_I5 does the same with random logs, limits, chunks and several faults.
func TestAnyLogAnyFaults_I3_I4_I5(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.SliceOfN(rapid.IntRange(0, 9), 1, 20).Draw(t, "rows of each transaction")...)
		w.limits.softEvents = rapid.IntRange(1, 6).Draw(t, "soft limit")
		w.limits.hardEvents = w.limits.softEvents + rapid.IntRange(0, 6).Draw(t, "hard limit above it")
		for range rapid.IntRange(0, 6).Draw(t, "faults") {
			w.failAt = w.calls + rapid.IntRange(0, 40).Draw(t, "calls until it fails")
			w.late = rapid.Bool().Draw(t, "after it took effect")
			if err := w.start(t, rapid.IntRange(1, 10).Draw(t, "chunk")); err != nil && !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "postgres crashes too") {
				w.confirmed = 0
			}
		}
		w.failAt = -1
		if err := w.finish(t, 7); err != nil {
			t.Fatal(err)
		}
		w.verify(t)
	})
}

// TestSmallTransactionsShareABatchAndStayWhole_I3: many small transactions share a Kafka transaction, and none is cut.
func TestSmallTransactionsShareABatchAndStayWhole_I3(t *testing.T) {
	t.Parallel()
	w := newWorld(slices.Repeat([]int{2}, 30)...)
	w.limits.softEvents, w.limits.hardEvents = 10, 20
	if err := w.finish(t, 1000); err != nil {
		t.Fatal(err)
	}
	w.verify(t)
	if most := slices.Max(w.commits); most != 5 {
		t.Errorf("the largest batch has %d transactions, want 5: the soft limit in events", most)
	}
}

func TestLogThatLostASplitTransactionIsRefused_I7(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]wal.Message{
		"another transaction": {Kind: wal.Begin, LSN: 125},
		"a keepalive":         {Kind: wal.Idle, LSN: 130},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.cp.At.Partial = &checkpoint.Partial{Commit: 115, Rows: 3}
			src := &fakeSource{w: w, chunks: make(chan *wal.Chunk, 1)}
			src.chunks <- &wal.Chunk{Messages: []wal.Message{{Kind: wal.Idle, LSN: 90}, after}}
			err := newPump(src, &fakeSink{w: w}, w.cp, w.limits, newMetrics(prometheus.NewRegistry())).run(t.Context(), t.Context())
			var refusal *checkpoint.Refusal
			if !errors.As(err, &refusal) {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}
