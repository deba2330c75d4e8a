package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// lanes are how many connections write at once. Each writes orders of its own, so that the versions of one are
// committed in their order.
const lanes = 32

// traffic writes one event a transaction at times that were fixed before (open loop: a slow commit does not make those
// behind it later than they are), and notes when each was committed and when a reader had it.
type traffic struct {
	*servers

	trial  trial
	rate   float64 // events a second
	limit  int     // events; 0: until stop
	before int64   // the last sequence number of those that were there
	from   ends    // of the topic, before
	began  time.Time

	stopWriting context.CancelFunc
	stopReading context.CancelFunc
	writing     errgroup.Group
	reading     errgroup.Group

	mu    sync.Mutex // guards what follows
	marks []mark     // by place in the schedule
	open  int        // committed and not delivered, less delivered and not yet known to be committed
}

// mark is when an event was where, since the traffic began; 0 for not yet.
type mark struct {
	sent      time.Duration // the writer was about to write it
	committed time.Duration // the writer had the answer to its COMMIT
	delivered time.Duration // a read_committed consumer had the record
}

// place is an event's place in the schedule, from 0. The lanes take turns.
type place int

func (p place) number() number {
	lane, turn := int64(p)%lanes, int64(p)/lanes
	return number((turn/perOrder*lanes+lane)*perOrder + turn%perOrder)
}

func (n number) place() place {
	order := n.order()
	turn := order/lanes*perOrder + n.version() - 1
	return place(turn*lanes + order%lanes)
}

// flow starts the traffic. The caller must stop it.
func (s *servers) flow(ctx context.Context, t trial, rate float64, limit int) (f *traffic, err error) {
	f = &traffic{servers: s, trial: t, rate: rate, limit: limit}
	if err := s.db.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM outbox`).Scan(&f.before); err != nil {
		return nil, fmt.Errorf("the outbox before the traffic: %w", err)
	}
	if f.from, err = s.ends(ctx, s.names.Topic); err != nil {
		return nil, err
	}
	client, err := s.consumer(ctx, s.names.Topic, f.from)
	if err != nil {
		return nil, err
	}
	conns, err := s.connect(ctx, lanes)
	if err != nil {
		client.Close()
		return nil, err
	}
	f.began = time.Now()
	writing, stopWriting := context.WithCancel(ctx)
	reading, stopReading := context.WithCancel(ctx)
	f.stopWriting, f.stopReading = stopWriting, stopReading
	for lane, conn := range conns {
		f.writing.Go(func() error { return f.write(writing, conn, place(lane)) })
	}
	f.reading.Go(func() error { return f.read(reading, client) })
	return f, nil
}

// connect makes connections for writers.
func (s *servers) connect(ctx context.Context, n int) (conns []*pgx.Conn, err error) {
	for range n {
		conn, err := pgx.Connect(ctx, s.url())
		if err != nil {
			for _, conn := range conns {
				_ = conn.Close(ctx) // there is nothing on it
			}
			return nil, fmt.Errorf("connect the writers: %w", err)
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// write writes one lane's events.
func (f *traffic) write(ctx context.Context, conn *pgx.Conn, at place) error {
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // each answer has come
	for ; f.limit == 0 || int(at) < f.limit; at += lanes {
		if ops.Sleep(ctx, time.Until(f.began.Add(f.due(at)))) != nil {
			return nil
		}
		var batch pgx.Batch
		if _, err := outbox.Queue(&batch, []event.Event{f.trial.event(at.number())}); err != nil {
			return err
		}
		sent := time.Since(f.began)
		// One statement, and so a transaction of its own: its answer is that of the COMMIT. Once begun it is not broken
		// off.
		if err := conn.SendBatch(context.WithoutCancel(ctx), &batch).Close(); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
		now := time.Since(f.began)
		f.note(at, func(m *mark) { m.sent, m.committed, f.open = sent, now, f.open+1 })
	}
	return nil
}

// due is when an event is to be written, since the traffic began.
func (f *traffic) due(at place) time.Duration {
	return time.Duration(float64(at) / f.rate * float64(time.Second))
}

// read notes what arrives.
func (f *traffic) read(ctx context.Context, client *kgo.Client) error {
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		now := time.Since(f.began)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read topic %s: %w", f.names.Topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			m, err := topic.Parse(r)
			n, ours := f.trial.numberOf(m.Order, m.Version)
			if err != nil || !ours {
				return // the check will say
			}
			f.note(n.place(), func(m *mark) {
				if m.delivered == 0 {
					m.delivered, f.open = now, f.open-1
				}
			})
		})
	}
}

func (f *traffic) note(at place, set func(m *mark)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.marks) <= int(at) {
		f.marks = append(f.marks, mark{})
	}
	set(&f.marks[at])
}

// written waits until all that the limit allows is written.
func (f *traffic) written() error { return f.writing.Wait() }

// stop stops the writers, waits until everything has been delivered, and returns what was noted. What does not arrive
// while there is patience the check will miss; it is no error here.
func (f *traffic) stop(ctx context.Context) ([]mark, error) {
	f.stopWriting()
	err := f.writing.Wait()
	for deadline := time.Now().Add(patience); err == nil && !f.settled() && time.Now().Before(deadline); {
		err = ops.Sleep(ctx, 10*time.Millisecond)
	}
	f.stopReading()
	return f.marks, errors.Join(err, f.reading.Wait())
}

func (f *traffic) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open == 0
}

// first is when the first of the events was delivered that were committed after a moment for certain: they were written
// after it. One whose answer came after it may have been committed, and published, before.
func (f *traffic) first(after time.Duration) (delivered time.Duration, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.marks {
		if m.sent > after && m.delivered > 0 && (!found || m.delivered < delivered) {
			delivered, found = m.delivered, true
		}
	}
	return delivered, found
}

// check checks all that the traffic has written.
func (f *traffic) check(ctx context.Context) (Check, error) {
	f.Progress("checking what arrived")
	return f.audit(ctx, f.trial, f.before, f.from)
}
