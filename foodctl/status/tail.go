package status

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Tail counts the events in the topic by reading all of it as every correct reader does, read_committed. It takes the
// outbox's sequence number for the event's identity, which costs a bit an event; the audit compares by event id.
type Tail struct {
	client *kgo.Client

	// mu guards what follows.
	mu         sync.Mutex
	seen       []uint64 // a bit for each sequence number
	published  int64
	duplicates int64
	malformed  int64
}

// NewTail makes a tail of the topic from its beginning.
func NewTail(brokers []string, security kafka.Security, name string) (*Tail, error) {
	client, err := kgo.NewClient(append(security.Options(),
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(name),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)...)
	if err != nil {
		return nil, err
	}
	return &Tail{client: client}, nil
}

// Run reads until ctx is done. What the brokers answer wrongly is asked again: the client does so by itself.
func (t *Tail) Run(ctx context.Context) {
	defer t.client.Close()
	for ctx.Err() == nil {
		t.add(t.client.PollFetches(ctx))
	}
}

func (t *Tail) add(fetches kgo.Fetches) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		m, err := topic.Parse(r)
		if err != nil || m.Seq < 1 {
			t.malformed++
			return
		}
		if t.mark(m.Seq) {
			t.published++
		} else {
			t.duplicates++
		}
	})
}

// mark notes the number and says whether it is new.
func (t *Tail) mark(seq int64) bool {
	word, bit := seq/64, uint64(1)<<(seq%64)
	if missing := int(word) + 1 - len(t.seen); missing > 0 {
		t.seen = append(t.seen, make([]uint64, missing)...)
	}
	fresh := t.seen[word]&bit == 0
	t.seen[word] |= bit
	return fresh
}

// Counts says how many different events there are, how many records repeat one, and how many are no events of ours.
func (t *Tail) Counts() (published, duplicates, malformed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.published, t.duplicates, t.malformed
}
