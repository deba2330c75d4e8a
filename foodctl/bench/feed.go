package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// feed publishes a stage's events at times that were fixed before (open loop), each transaction with all that are due, as
// a relay does; and notes when each was committed and when it was visible in a read model.
type feed struct {
	stage *stage
	conn  *pgx.Conn // to the read model; the watcher's
	rate  float64   // events a second
	limit int       // events; 0: until stop
	began time.Time

	stopWriting  context.CancelFunc
	stopWatching context.CancelFunc
	writing      errgroup.Group
	watching     errgroup.Group

	mu    sync.Mutex // guards what follows
	steps []step     // by place in the schedule
	open  [topic.Partitions][]int
	seen  claims // that the watcher saw last
}

// step is when an event was where, since the feed began.
type step struct {
	position

	sent      time.Duration // its transaction was about to begin
	committed time.Duration // the commit was acknowledged: a read_committed reader can have it
	visible   time.Duration // a reader of the read model had an answer that reflects it; 0 for not yet
}

// look is the time between two looks at the read model: as long as an event may seem to take longer than it did.
const look = time.Millisecond

// largest is how many events a transaction has at most.
const largest = 5000

// feed starts to publish. The caller must stop it.
func (m *readModel) feed(ctx context.Context, rate float64, limit int) (*feed, error) {
	conn, err := pgx.Connect(ctx, m.stage.urlOf(m.name))
	if err != nil {
		return nil, err
	}
	f := &feed{stage: m.stage, conn: conn, rate: rate, limit: limit, began: time.Now()}
	writing, stopWriting := context.WithCancel(ctx)
	watching, stopWatching := context.WithCancel(ctx)
	f.stopWriting, f.stopWatching = stopWriting, stopWatching
	f.writing.Go(func() error { return f.write(ctx, writing) })
	f.watching.Go(func() error { return f.watch(watching) })
	return f, nil
}

// due is when an event is to be published, since the feed began.
func (f *feed) due(place int) time.Duration {
	return time.Duration(float64(place) / f.rate * float64(time.Second))
}

// write publishes until it is told to stop. A transaction that has begun is broken off only when ctx ends, or it would not be known
// how many events there are.
func (f *feed) write(ctx, writing context.Context) error {
	for place := 0; f.limit == 0 || place < f.limit; {
		if ops.Sleep(writing, time.Until(f.began.Add(f.due(place)))) != nil {
			return nil //nolint:nilerr // told to stop
		}
		n := min(largest, int(time.Since(f.began).Seconds()*f.rate)+1-place)
		if f.limit > 0 {
			n = min(n, f.limit-place)
		}
		sent := time.Since(f.began)
		placed, err := f.stage.publish(ctx, max(1, n))
		if err != nil {
			return err
		}
		f.note(placed, sent, time.Since(f.began))
		place += len(placed)
	}
	return nil
}

// note takes down what was committed. What the watcher has seen already was visible before the acknowledgement came.
func (f *feed) note(placed []position, sent, committed time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range placed {
		s := step{position: p, sent: sent, committed: committed}
		if f.seen[p.part].next > p.offset {
			s.visible = committed
		} else {
			f.open[p.part] = append(f.open[p.part], len(f.steps))
		}
		f.steps = append(f.steps, s)
	}
}

// watch notes what becomes visible.
func (f *feed) watch(ctx context.Context) error {
	defer f.conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	for ctx.Err() == nil {
		c, err := readClaims(context.WithoutCancel(ctx), f.conn)
		if err != nil {
			return err
		}
		f.show(c, time.Since(f.began))
		nap(look)
	}
	return nil
}

func (f *feed) show(c claims, now time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = c
	for part, open := range f.open {
		for len(open) > 0 && f.steps[open[0]].offset < c[part].next {
			f.steps[open[0]].visible = now
			open = open[1:]
		}
		f.open[part] = open
	}
}

// written waits until all that the limit allows is published.
func (f *feed) written() error { return f.writing.Wait() }

// stop stops publishing, waits until everything is visible, and returns what was noted. What does not become visible while
// there is patience the check will miss; it is no error here.
func (f *feed) stop(ctx context.Context) ([]step, error) {
	f.stopWriting()
	err := f.writing.Wait()
	for deadline := time.Now().Add(patience); err == nil && !f.settled() && time.Now().Before(deadline); {
		err = ops.Sleep(ctx, 10*time.Millisecond)
	}
	return f.steps, errors.Join(err, f.end())
}

// end stops publishing and watching. Once more does no harm.
func (f *feed) end() error {
	f.stopWriting()
	f.stopWatching()
	return errors.Join(f.writing.Wait(), f.watching.Wait())
}

func (f *feed) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, open := range f.open {
		if len(open) > 0 {
			return false
		}
	}
	return true
}

// first is when the first of a partition's events was visible that were sent after a moment.
func (f *feed) first(part int32, after time.Duration) (visible time.Duration, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.steps {
		if s.part == part && s.sent > after && s.visible > 0 {
			return s.visible, true // those of a partition become visible in their order
		}
	}
	return 0, false
}

// claims are those that the watcher saw last.
func (f *feed) claims() claims {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}
