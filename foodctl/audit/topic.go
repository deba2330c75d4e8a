package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reader reads a topic from its beginning as any read_committed reader does.
type reader struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	id     uuid.UUID
	starts []int64
	next   []int64 // by partition: everything below has been read
}

var errNoTopic = errors.New("there is no such topic")

// openTopic finds the topic and prepares to read it from the start. The client must be closed by close.
func openTopic(ctx context.Context, cfg Config) (*reader, error) {
	client, err := kgo.NewClient(append(cfg.Security.Options(),
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("foodctl-verify"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Without the control records the position would stay before an aborted tail for ever.
		kgo.KeepControlRecords(),
		kgo.FetchMaxPartitionBytes(1<<20),      // an answer is unpacked while the next one is fetched, to twenty times its size each
		kgo.FetchMaxWait(250*time.Millisecond), // also what it takes to learn that a log has not grown
	)...)
	if err != nil {
		return nil, err
	}
	r := &reader{client: client, admin: kadm.NewClient(client), topic: cfg.Topic}
	if err := r.start(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return r, nil
}

func (r *reader) close() { r.client.Close() }

func (r *reader) start(ctx context.Context) error {
	if _, err := r.bounds(ctx); err != nil {
		return err
	}
	r.next = slices.Clone(r.starts)
	from := make(map[int32]kgo.Offset, len(r.starts))
	for p, offset := range r.starts {
		from[int32(p)] = kgo.NewOffset().At(offset)
	}
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from})
	return nil
}

// bounds looks the topic up: its id and the first offset of each partition. It returns the leader of partition 0.
func (r *reader) bounds(ctx context.Context) (leader int32, err error) {
	details, err := r.admin.ListTopics(ctx, r.topic)
	if err != nil {
		return 0, err
	}
	detail := details[r.topic]
	switch {
	case errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
		return 0, errNoTopic
	case detail.Err != nil:
		return 0, detail.Err
	}
	r.id = uuid.UUID(detail.ID)
	listed, err := r.admin.ListStartOffsets(ctx, r.topic)
	if r.starts, err = offsets(listed, r.topic, len(detail.Partitions), err); err != nil {
		return 0, fmt.Errorf("start of the log: %w", err)
	}
	r.next = r.starts
	return detail.Partitions[0].Leader, nil
}

// ends is the end of each partition's log, open transactions included. A reader that has got there has read whatever was
// committed before the call.
func (r *reader) ends(ctx context.Context) ([]int64, error) {
	listed, err := r.admin.ListEndOffsets(ctx, r.topic)
	return offsets(listed, r.topic, len(r.next), err)
}

// committedEnds is how far a read_committed reader can get at this moment.
func (r *reader) committedEnds(ctx context.Context) ([]int64, error) {
	listed, err := r.admin.ListCommittedOffsets(ctx, r.topic)
	return offsets(listed, r.topic, len(r.next), err)
}

func offsets(listed kadm.ListedOffsets, topic string, partitions int, err error) ([]int64, error) {
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	list := make([]int64, partitions)
	for p := range list {
		found, has := listed.Lookup(topic, int32(p))
		if !has {
			return nil, fmt.Errorf("partition %d was not listed", p)
		}
		list[p] = found.Offset
	}
	return list, nil
}

// readTo reads until the position of each partition has reached its end, and hands on what it reads, control records
// left out. Ends are positions and not counts: control records and aborted ones have offsets as well.
func (r *reader) readTo(ctx context.Context, ends []int64, visit func(context.Context, []*kgo.Record) error) error {
	for !r.reached(ends) {
		fetches := r.client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		for _, failed := range fetches.Errors() {
			return fmt.Errorf("read partition %d: %w", failed.Partition, failed.Err)
		}
		var records []*kgo.Record
		fetches.EachRecord(func(rec *kgo.Record) {
			r.next[rec.Partition] = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				records = append(records, rec)
			}
		})
		if err := visit(ctx, records); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) reached(ends []int64) bool {
	for p, end := range ends {
		if r.next[p] < end {
			return false
		}
	}
	return true
}

// behind says where the reader has stopped short of the ends.
func (r *reader) behind(ends []int64) string {
	for p, end := range ends {
		if r.next[p] < end {
			return fmt.Sprintf("partition %d was read up to offset %d of %d", p, r.next[p], end)
		}
	}
	return "all was read"
}

// unmarked is a position that no record reaches.
const unmarked = math.MaxInt64
