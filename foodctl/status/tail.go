package status

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Tail counts the events in the topic by reading all of it as every correct reader does, read_committed. It takes the
// outbox's sequence number for the event's identity, which costs a bit an event; the audit compares by event id.
type Tail struct {
	client    *kgo.Client
	admin     *kadm.Client
	name      string
	observers []Observer

	// mu guards what follows.
	mu         sync.Mutex
	seen       Bits // sequence numbers
	published  int64
	duplicates int64
	malformed  int64
	failed     error           // of the last fetch
	next       map[int32]int64 // by partition: everything below has been read
	first      map[int32]int64 // by partition, where the topic ended when the tail began; nil: not known yet
}

// Read is a record of the topic as a Tail has read it.
type Read struct {
	*kgo.Record

	Event topic.Message
	Err   error // why it is no event
	New   bool  // it came after the tail had begun
}

// Observer is told what a Tail reads, in the topic's order within a partition.
type Observer interface {
	// Prepare is told of records that came together before any of them is counted. Reading waits for it.
	Prepare(ctx context.Context, batch []Read)
	// Judge is told of each of them. Fresh says that no event of this sequence number came before, seen which others did. It must not
	// take its time, nor call the tail.
	Judge(r Read, fresh bool, seen *Bits)
	// Control is told of a record that ends a transaction. The same goes for it.
	Control(r *kgo.Record)
}

// NewTail makes a tail of the topic from its beginning.
func NewTail(brokers []string, security kafka.Security, name string, observers ...Observer) (*Tail, error) {
	client, err := kgo.NewClient(append(security.Options(),
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(name),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // or a partition that ends in a marker would never be read to its end
		// What comes within a tenth of a second is read, and looked up, at once: every transaction by itself would be most of the work.
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMinBytes(1<<20),
	)...)
	if err != nil {
		return nil, err
	}
	return &Tail{client: client, admin: kadm.NewClient(client), name: name, observers: observers, next: make(map[int32]int64)}, nil
}

// Run reads until ctx is done. What the brokers answer wrongly is asked again: the client does so by itself.
func (t *Tail) Run(ctx context.Context) {
	defer t.client.Close()
	for !t.begin(ctx) && ops.Sleep(ctx, 200*time.Millisecond) == nil {
	}
	for ctx.Err() == nil {
		t.add(ctx, t.client.PollFetches(ctx))
	}
}

// begin notes where the topic ends, and says whether that could be had.
func (t *Tail) begin(ctx context.Context) bool {
	ends, err := t.Ends(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first, t.failed = ends, err
	return err == nil
}

// Ends says where the topic ends for such a reader, by partition.
func (t *Tail) Ends(ctx context.Context) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	listed, err := t.admin.ListCommittedOffsets(ctx, t.name)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := make(map[int32]int64)
	listed.Each(func(end kadm.ListedOffset) { ends[end.Partition] = end.Offset })
	return ends, nil
}

// Reached says whether everything below the ends has been read.
func (t *Tail) Reached(ends map[int32]int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reached(ends)
}

func (t *Tail) reached(ends map[int32]int64) bool {
	for part, end := range ends {
		if t.next[part] < end {
			return false
		}
	}
	return true
}

func (t *Tail) add(ctx context.Context, fetches kgo.Fetches) {
	batch := t.parse(fetches)
	for _, o := range t.observers {
		o.Prepare(ctx, batch)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed = fetches.Err(); errors.Is(t.failed, context.Canceled) {
		t.failed = nil // it is the end
	}
	for _, r := range batch {
		t.record(r)
	}
	fetches.EachRecord(func(r *kgo.Record) {
		t.next[r.Partition] = r.Offset + 1
		if r.Attrs.IsControl() {
			for _, o := range t.observers {
				o.Control(r)
			}
		}
	})
}

// parse reads the records that may be events.
func (t *Tail) parse(fetches kgo.Fetches) []Read {
	batch := make([]Read, 0, fetches.NumRecords())
	fetches.EachRecord(func(r *kgo.Record) {
		if r.Attrs.IsControl() {
			return
		}
		m, err := topic.Parse(r)
		if err == nil && m.Seq < 1 {
			err = fmt.Errorf("%w at %s/%d offset %d: no sequence number of the outbox", topic.ErrMalformed, r.Topic, r.Partition, r.Offset)
		}
		batch = append(batch, Read{Record: r, Event: m, Err: err, New: r.Offset >= t.first[r.Partition]})
	})
	return batch
}

func (t *Tail) record(r Read) {
	fresh := false
	switch {
	case r.Err != nil:
		t.malformed++
	case t.seen.Has(r.Event.Seq):
		t.duplicates++
	default:
		fresh = true
		t.published++
	}
	for _, o := range t.observers {
		o.Judge(r, fresh, &t.seen)
	}
	if fresh {
		t.seen.Set(r.Event.Seq)
	}
}

// Lacks says how many of the sequence numbers the topic has not shown, and the lowest of them, limit at most.
func (t *Tail) Lacks(numbers *Bits, limit int) (n int64, lowest []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return numbers.Without(&t.seen, limit)
}

// Ready says whether the tail has read what was there when it began, and why it cannot if it cannot.
func (t *Tail) Ready() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return false, fmt.Errorf("topic %s: %w", t.name, t.failed)
	}
	return t.first != nil && t.reached(t.first), nil
}

// Counts says how many different events there are, how many records repeat one, and how many are no events of ours.
func (t *Tail) Counts() (published, duplicates, malformed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.published, t.duplicates, t.malformed
}
