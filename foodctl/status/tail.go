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
	client *kgo.Client
	name   string

	// mu guards what follows.
	mu         sync.Mutex
	seen       []uint64 // a bit for each sequence number
	published  int64
	duplicates int64
	malformed  int64
	failed     error           // of the last fetch
	behind     map[int32]int64 // by partition, where the topic ended when the tail began; gone when it is reached. nil: not known yet
}

// NewTail makes a tail of the topic from its beginning.
func NewTail(brokers []string, security kafka.Security, name string) (*Tail, error) {
	client, err := kgo.NewClient(append(security.Options(),
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(name),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // or a partition that ends in a marker would never be read to its end
	)...)
	if err != nil {
		return nil, err
	}
	return &Tail{client: client, name: name}, nil
}

// Run reads until ctx is done. What the brokers answer wrongly is asked again: the client does so by itself.
func (t *Tail) Run(ctx context.Context) {
	defer t.client.Close()
	for !t.begin(ctx) && ops.Sleep(ctx, 200*time.Millisecond) == nil {
	}
	for ctx.Err() == nil {
		t.add(t.client.PollFetches(ctx))
	}
}

// begin notes where the topic ends, and says whether that could be had.
func (t *Tail) begin(ctx context.Context) bool {
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(t.client).ListCommittedOffsets(asking, t.name)
	if err == nil {
		err = ends.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed = err; err != nil {
		return false
	}
	t.behind = make(map[int32]int64)
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			t.behind[end.Partition] = end.Offset
		}
	})
	return true
}

func (t *Tail) add(fetches kgo.Fetches) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed = fetches.Err(); errors.Is(t.failed, context.Canceled) {
		t.failed = nil // it is the end
	}
	fetches.EachRecord(func(r *kgo.Record) {
		if end, is := t.behind[r.Partition]; is && r.Offset+1 >= end {
			delete(t.behind, r.Partition)
		}
		if r.Attrs.IsControl() {
			return
		}
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

// Ready says whether the tail has read what was there when it began, and why it cannot if it cannot.
func (t *Tail) Ready() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed != nil {
		return false, fmt.Errorf("topic %s: %w", t.name, t.failed)
	}
	return t.behind != nil && len(t.behind) == 0, nil
}

// Counts says how many different events there are, how many records repeat one, and how many are no events of ours.
func (t *Tail) Counts() (published, duplicates, malformed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.published, t.duplicates, t.malformed
}
