// Package tail reads a Kafka partition by position: from an offset to an offset, and backwards from its end to its last
// committed record.
//
// A consumer that waits for "one more record" waits for ever where a partition ends in a commit marker or in the records
// of an aborted transaction, because both take offsets and neither is delivered. Here the end is the high watermark, asked
// for before reading and without regard to open transactions, and reading ends when the position has passed it.
package tail

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	fetchWait  = 100     // milliseconds that the broker may wait for data
	fetchBytes = 4 << 20 // of an answer, unless one batch alone is larger
	firstStep  = 64      // offsets that Last looks at first; it goes on in steps of four times as many
)

// Partition is a partition of a topic, with the bounds of its log at the time of Open.
type Partition struct {
	client *kgo.Client
	topic  string
	id     kmsg.FetchRequestTopic // the topic's name and id
	number int32
	leader int32

	Start int64 // the first offset that is still there
	End   int64 // the high watermark: the first offset that is not
}

// Open looks the partitions of a topic up. It returns them in the order of their numbers, and the topic's id.
func Open(ctx context.Context, client *kgo.Client, topic string) ([]Partition, kadm.TopicID, error) {
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx, topic)
	if err == nil {
		err = topics[topic].Err
	}
	if err != nil {
		return nil, kadm.TopicID{}, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, kadm.TopicID{}, fmt.Errorf("log start of %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic) // read_uncommitted: open transactions count
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, kadm.TopicID{}, fmt.Errorf("log end of %s: %w", topic, err)
	}
	detail := topics[topic]
	var partitions []Partition
	for _, p := range detail.Partitions.Sorted() {
		start, _ := starts.Lookup(topic, p.Partition)
		end, _ := ends.Lookup(topic, p.Partition)
		partitions = append(partitions, Partition{
			client: client, topic: topic, number: p.Partition, leader: p.Leader,
			id:    kmsg.FetchRequestTopic{Topic: topic, TopicID: detail.ID},
			Start: start.Offset, End: end.Offset,
		})
	}
	return partitions, detail.ID, nil
}

// Last returns the last committed record below End, or nil if there is none. It reads backwards in growing steps, so that
// the length of the log does not matter.
func (p Partition) Last(ctx context.Context) (*kgo.Record, error) {
	for step := int64(firstStep); ; step *= 4 {
		from := max(p.Start, p.End-step)
		var last *kgo.Record
		if err := p.Scan(ctx, from, func(r *kgo.Record) error { last = r; return nil }); err != nil {
			return nil, err
		}
		if last != nil || from == p.Start {
			return last, nil
		}
	}
}

// Scan calls f with each committed record from an offset up to End, and stops at its error. It waits, until ctx ends, for
// transactions that were open below End to be committed or aborted.
func (p Partition) Scan(ctx context.Context, from int64, f func(*kgo.Record) error) error {
	for at := from; at < p.End; {
		records, next, err := p.fetch(ctx, at)
		if err != nil {
			return fmt.Errorf("read %s/%d at offset %d: %w", p.topic, p.number, at, err)
		}
		for _, r := range records {
			if r.Offset >= p.End {
				return nil
			}
			if err := f(r); err != nil {
				return err
			}
		}
		at = next
	}
	return nil
}

// fetch reads once from an offset and returns the position behind what it read, records or not.
func (p Partition) fetch(ctx context.Context, at int64) ([]*kgo.Record, int64, error) {
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.number, at, fetchBytes
	topic := p.id
	topic.Partitions = []kmsg.FetchRequestTopicPartition{part}
	req := kmsg.NewPtrFetchRequest()
	// The answer's limit is above the partition's: of one that its own limit cuts off, kfake does not say what was aborted.
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = fetchWait, 1, 2*fetchBytes, 1
	req.SessionEpoch = -1 // no fetch session
	req.Topics = []kmsg.FetchRequestTopic{topic}

	answer, err := p.client.Broker(int(p.leader)).RetriableRequest(ctx, req)
	if ctx.Err() != nil {
		return nil, 0, fmt.Errorf("%w (an open transaction of another producer may hold the position back)", context.Cause(ctx))
	}
	if err != nil {
		return nil, 0, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, 0, fmt.Errorf("the broker answered for %d topics, want 1", len(resp.Topics))
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset:         at,
		IsolationLevel: kgo.ReadCommitted(),
		Topic:          p.topic,
		Partition:      p.number,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return fetched.Records, max(next, at), fetched.Err
}
