package status

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// errHistory is that what was read is no longer the beginning of the topic.
var errHistory = errors.New("the topic has another history than the one that was read")

// reset forgets what was read.
func (t *Tail) reset(admin *kadm.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.admin, t.id, t.first, t.seen = admin, kadm.TopicID{}, nil, Bits{}
	t.published, t.duplicates, t.malformed = 0, 0, 0
	clear(t.next)
	for _, o := range t.observers {
		o.Reset()
	}
}

// begin notes which topic it is and where it ends, and says whether that could be had.
func (t *Tail) begin(ctx context.Context) bool {
	id, err := t.topicID(ctx)
	var ends map[int32]int64
	if err == nil {
		ends, err = t.ends(ctx, (*kadm.Client).ListCommittedOffsets)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.id, t.first, t.failed = id, ends, err
	return err == nil
}

// check asks whether what was read is still there. The brokers' answer ends what they said wrongly before.
func (t *Tail) check(ctx context.Context) error {
	id, err := t.topicID(ctx)
	var ends map[int32]int64
	if err == nil {
		ends, err = t.LogEnds(ctx)
	}
	if ctx.Err() != nil {
		return nil // it is the end
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed = err; err != nil {
		return err
	}
	if id != t.id {
		return errHistory
	}
	for part, next := range t.next {
		if ends[part] < next {
			return errHistory
		}
	}
	return nil
}

func (t *Tail) topicID(ctx context.Context) (kadm.TopicID, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	topics, err := t.client().ListTopics(ctx, t.name)
	if err == nil {
		err = topics[t.name].Err
	}
	return topics[t.name].ID, err
}

func (t *Tail) client() *kadm.Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.admin
}

// LogEnds is the end of each partition's log, open transactions included: what was committed before the call is below it, also if the
// marker that lets readers see it is still to come.
func (t *Tail) LogEnds(ctx context.Context) (map[int32]int64, error) {
	return t.ends(ctx, (*kadm.Client).ListEndOffsets)
}

func (t *Tail) ends(ctx context.Context, list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	admin := t.client()
	if admin == nil {
		return nil, errors.New("the topic is not read yet")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	listed, err := list(admin, ctx, t.name)
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
