package life

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How much of a log one answer may hold, unless one batch alone is larger: at a place, and in a search.
const (
	pointBytes  = 64 << 10
	searchBytes = 4 << 20
)

// errNotThere is returned for an offset that the log does not have, or no longer.
var errNotThere = errors.New("the log has no such offset")

// partition is a partition of a topic.
type partition struct {
	client *kgo.Client
	topic  kmsg.FetchRequestTopic // its name and id
	number int32
	leader int32
}

func partitionOf(client *kgo.Client, topic kadm.TopicDetail, number int32) partition {
	return partition{
		client: client, topic: kmsg.FetchRequestTopic{Topic: topic.Topic, TopicID: topic.ID}, number: number,
		leader: topic.Partitions[number].Leader,
	}
}

// fetch reads committed records once, from an offset on, and returns the offset behind what it read: markers and aborted
// records have offsets, too. A consumer would not do: it needs a goroutine and a session for each look.
func (p partition) fetch(ctx context.Context, at int64, most int32) ([]*kgo.Record, int64, error) {
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.number, at, most
	topic := p.topic
	topic.Partitions = []kmsg.FetchRequestTopicPartition{part}
	req := kmsg.NewPtrFetchRequest()
	// The answer's limit is above the partition's: of one that its own limit cuts off, kfake does not say what was aborted.
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 100, 1, 2*searchBytes, 1
	req.SessionEpoch = -1 // no fetch session
	req.Topics = []kmsg.FetchRequestTopic{topic}
	answer, err := p.client.Broker(int(p.leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, at, because(ctx, err)
	}
	resp, isFetch := answer.(*kmsg.FetchResponse)
	if !isFetch || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, at, errors.Join(kerr.ErrorForCode(resp.ErrorCode), fmt.Errorf("the broker did not answer for partition %d", p.number))
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: p.topic.Topic, Partition: p.number,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if errors.Is(fetched.Err, kerr.OffsetOutOfRange) {
		return nil, at, errNotThere
	}
	return fetched.Records, max(next, at), fetched.Err
}
