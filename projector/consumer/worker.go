package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// worker applies one partition's records under one claim, in order, a batch at a time. A new claim is a new worker.
type worker struct {
	*session

	part   int32
	state  *view.Partition // used by run alone
	ctx    context.Context // ends when the worker is cut off
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	// position is the offset up to which everything has been applied or is no event. For the lag only.
	position atomic.Int64
	oldest   atomic.Int64 // timestamp of the oldest record in hand or queued, in Unix milliseconds; 0: none

	mu       sync.Mutex // guards all below
	changed  *sync.Cond
	queue    []*kgo.Record
	draining bool
	ended    bool
	onEmpty  func()
}

// newWorker makes a worker that outlives ctx: it ends by drain, by cancel or by itself.
func (s *session) newWorker(ctx context.Context, part int32, p *view.Partition) *worker {
	w := &worker{session: s, part: part, state: p, done: make(chan struct{})}
	w.changed = sync.NewCond(&w.mu)
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(w.ctx, w.drain) //nolint:contextcheck // it has no context to pass on
	offset, _ := p.Next()
	w.position.Store(offset)
	return w
}

// give adds records to the queue. It does not wait: room does.
func (w *worker) give(records []*kgo.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended && !w.draining {
		w.queue = append(w.queue, records...)
		w.changed.Broadcast()
	}
}

// drain ends the worker after the batch in hand. What is queued is dropped: the next owner reads it again.
func (w *worker) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	w.changed.Broadcast()
}

// join waits until the worker has ended, and cuts it off when ctx ends first.
func (w *worker) join(ctx context.Context) {
	select {
	case <-w.done:
	case <-ctx.Done():
		w.cancel()
		<-w.done
	}
}

// take waits for records and takes as many as a batch may have; none when the worker is to end.
func (w *worker) take() []*kgo.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.draining {
		w.oldest.Store(0)
		w.changed.Wait()
	}
	if w.draining {
		return nil
	}
	n := min(len(w.queue), w.cfg.MaxBatch)
	batch := slices.Clone(w.queue[:n])
	clear(w.queue[:n]) // or the queue's array would keep what is applied
	w.queue = w.queue[n:]
	w.oldest.Store(batch[0].Timestamp.UnixMilli())
	if len(w.queue) == 0 && w.onEmpty != nil {
		w.onEmpty()
		w.onEmpty = nil
	}
	w.changed.Broadcast()
	return batch
}

// room waits, at most for limit, until the queue is below its limit, and reports whether it is.
func (w *worker) room(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { w.mu.Lock(); defer w.mu.Unlock(); w.changed.Broadcast() })()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) >= queuedBatches*w.cfg.MaxBatch && ctx.Err() == nil {
		w.changed.Wait()
	}
	return len(w.queue) < queuedBatches*w.cfg.MaxBatch
}

// whenEmpty calls fn when the queue is empty, or never if the worker ends before.
func (w *worker) whenEmpty(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
	case len(w.queue) == 0:
		fn()
	default:
		w.onEmpty = fn
	}
}

// run applies batches until the worker is to end, or the partition cannot go on.
func (w *worker) run() {
	defer close(w.done)
	defer w.cancel()
	err := w.applyAll()
	w.end()
	switch {
	case err == nil, errors.Is(err, errGivenUp), w.ctx.Err() != nil:
	case w.cfg.Former && view.Dropped(err):
		w.log.Info("the tables were dropped", "partition", w.part)
	case errors.Is(err, view.ErrFenced):
		w.fenced()
	default:
		w.stop(w.part, err)
	}
}

func (w *worker) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.queue = true, nil
	w.changed.Broadcast()
}

// fenced drops everything. The group will take the partition away; if it does not, it is the group that is out of date,
// and joining it again claims the partition anew.
func (w *worker) fenced() {
	w.metrics.fenced.Inc()
	w.log.Info("partition has another owner", "partition", w.part)
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := time.AfterFunc(fencedWait, func() { w.quit(fmt.Errorf("partition %d: %w", w.part, errOthers)) })
	defer limit.Stop()
	for !w.draining { // until revoked, lost or the session's end
		w.changed.Wait()
	}
}

func (w *worker) applyAll() error {
	for {
		records := w.take()
		if len(records) == 0 {
			return nil
		}
		started := time.Now()
		if events := w.state.Unapplied(Events(records)); len(events) > 0 { // what is live since they were queued may be further
			if err := w.apply(events); err != nil {
				return err
			}
			w.metrics.duration.Observe(time.Since(started).Seconds())
			w.metrics.batch.Observe(float64(len(events)))
		}
		w.seen(records)
		w.position.Store(records[len(records)-1].Offset + 1)
		offset, epoch := w.state.Next()
		w.client.MarkCommitOffsets(map[string]map[int32]kgo.EpochOffset{w.cfg.Topic: {w.part: {Epoch: epoch, Offset: offset}}})
	}
}

// seen measures how old the events were when they had been applied: a record's timestamp is its order's commit time.
func (w *worker) seen(records []*kgo.Record) {
	now := time.Now()
	for _, r := range records {
		if !r.Attrs.IsControl() {
			w.metrics.latency.Observe(now.Sub(r.Timestamp).Seconds())
		}
	}
}

// errGivenUp ends a worker that is to end and cannot finish its batch in hand.
var errGivenUp = errors.New("batch given up")

// apply applies the events, and tries again until it is known what became of them.
func (w *worker) apply(events []view.Event) error {
	who := fmt.Sprintf("partition %d", w.part)
	defer w.status.retrying(who, nil)
	b := Batches{Done: w.applied, Failed: func(n, events int, err error) error {
		w.status.retrying(who, err)
		w.log.Warn("batch not applied, trying again", "partition", w.part, "events", events, "err", err)
		if !w.pause(backoff(n)) {
			return errGivenUp
		}
		return nil
	}}
	err := b.Apply(w.ctx, w.state, events)
	if !errors.Is(err, view.ErrFenced) {
		return err
	}
	if err := w.reclaim(who); err != nil {
		return err
	}
	return w.apply(w.state.Unapplied(events))
}

// applied counts and logs what became of a batch.
func (w *worker) applied(events []view.Event, done view.Applied) {
	w.metrics.applied.WithLabelValues(label(w.part)).Add(float64(done.Events))
	w.metrics.duplicates.Add(float64(done.Duplicates))
	if done.Duplicates > 0 {
		w.log.Warn("events ignored that had been applied before", "partition", w.part, "events", done.Duplicates)
	}
	for _, p := range done.Parked {
		w.metrics.letters.WithLabelValues(string(p.Reason)).Inc()
		w.log.Error("event parked, a dead letter", "partition", w.part, "offset", p.Offset, "order_id", p.Order.String(), "version", p.Version,
			"reason", string(p.Reason), "err", p.Err, "remedy", remedyOf(p.Reason))
	}
	if len(done.Parked) == 0 { // else it is not known here which of them were applied
		w.tell(events)
	}
}

// tell logs each event of a batch that was committed. Those of them that had been applied before have a warning of their
// own, and two such lines.
func (w *worker) tell(events []view.Event) {
	if !w.log.Enabled(w.ctx, slog.LevelDebug) {
		return
	}
	for i := range events {
		e := &events[i]
		w.log.LogAttrs(w.ctx, slog.LevelDebug, "event applied",
			slog.String("order_id", e.Order.String()), slog.String("event_id", e.ID.String()),
			slog.Int64("version", e.Version), slog.String("event_type", string(e.Type)),
			slog.Int("partition", int(w.part)), slog.Int64("offset", e.Offset))
	}
}

// pause waits and reports whether to try again: not when the worker is to end.
func (w *worker) pause(d time.Duration) bool {
	slept := ops.Sleep(w.ctx, d) == nil
	w.mu.Lock()
	defer w.mu.Unlock()
	return slept && !w.draining
}
