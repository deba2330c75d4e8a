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
//
// What it has read is of one history. When the topic is made anew under its name, or a broker has lost what was read already, the tail
// forgets all, tells its observers so, and reads from the beginning again.
type Tail struct {
	options   []kgo.Opt
	name      string
	observers []Observer

	// mu guards what follows.
	mu         sync.Mutex
	admin      *kadm.Client
	id         kadm.TopicID
	seen       Bits // sequence numbers
	published  int64
	duplicates int64
	malformed  int64
	failed     error           // of the last fetch, or the last look at the topic
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
	// Reset is told that all of the topic is read anew: what was said of it so far is of a history that is no more.
	Reset()
}

// NewTail makes a tail of the topic from its beginning.
func NewTail(brokers []string, security kafka.Security, name string, observers ...Observer) (*Tail, error) {
	t := &Tail{
		name: name, observers: observers, next: make(map[int32]int64),
		options: append(security.Options(),
			kgo.SeedBrokers(brokers...),
			kgo.ConsumeTopics(name),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.KeepControlRecords(), // or a partition that ends in a marker would never be read to its end
			// What comes within a quarter of a second is read, and looked up, at once: every transaction by itself would be most of the work.
			kgo.FetchMaxWait(250*time.Millisecond),
			kgo.FetchMinBytes(256<<10),
			kgo.FetchMaxPartitionBytes(256<<10), // compressed: in memory it is many times that
			kgo.FetchMaxBytes(1<<20),
		),
	}
	if err := kgo.ValidateOpts(t.options...); err != nil {
		return nil, err
	}
	return t, nil
}

// Run reads until ctx is done. What the brokers answer wrongly is asked again: the client does so by itself.
func (t *Tail) Run(ctx context.Context) {
	for ctx.Err() == nil {
		client, err := kgo.NewClient(t.options...)
		if err != nil {
			t.fail(err) // the options are valid
			return
		}
		t.reset(kadm.NewClient(client))
		t.read(ctx, client)
		client.Close()
	}
}

// checkEvery is how often the tail asks whether the topic is still the one that it reads.
const checkEvery = 2 * time.Second

// read reads one history of the topic.
func (t *Tail) read(ctx context.Context, client *kgo.Client) {
	for !t.begin(ctx) && ops.Sleep(ctx, 200*time.Millisecond) == nil {
	}
	for checked := time.Now(); ctx.Err() == nil; {
		polling, cancel := context.WithTimeout(ctx, checkEvery)
		fetches := client.PollFetches(polling)
		cancel()
		var lost *kgo.ErrDataLoss
		if errors.As(fetches.Err(), &lost) {
			return
		}
		t.add(ctx, fetches)
		if time.Since(checked) >= checkEvery {
			if err := t.check(ctx); errors.Is(err, errHistory) {
				return
			}
			checked = time.Now()
		}
	}
}

func (t *Tail) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = err
}

func (t *Tail) add(ctx context.Context, fetches kgo.Fetches) {
	batch := t.parse(fetches)
	for _, o := range t.observers {
		o.Prepare(ctx, batch)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := fetches.Err(); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.failed = err // until the brokers answer a check
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
