package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicInfo is what the brokers say of a topic.
type topicInfo struct {
	id      [16]byte
	leaders []int32 // by partition; noLeader for none, or none known
}

const noLeader = -1

// infoOf is what is known of a topic before the brokers have told of its leaders.
func infoOf(t Topic) *topicInfo {
	id, _ := uuid.Parse(t.ID) // none is as good as unknown
	return &topicInfo{id: id, leaders: slices.Repeat([]int32{noLeader}, t.Partitions)}
}

// result is what a leader has answered, batch by batch.
type result struct {
	batches []*sealed
	errors  []error
}

// ask sends batches to a leader and waits for its answer.
func (s *sender) ask(ctx context.Context, leader int32, batches []*sealed) result {
	r := result{batches, make([]error, len(batches))}
	answer, err := s.client.Broker(int(leader)).Request(ctx, s.request(batches))
	if err != nil {
		if ctx.Err() == nil {
			err = &networkError{err}
		}
		for i := range r.errors {
			r.errors[i] = err
		}
		return r
	}
	for i, b := range batches {
		r.errors[i] = s.answerFor(b, answer.(*kmsg.ProduceResponse))
	}
	return r
}

// request is the request for batches. It names the topics by name and id; the version decides which is sent (KIP-516).
func (s *sender) request(batches []*sealed) *kmsg.ProduceRequest {
	request := kmsg.NewPtrProduceRequest()
	request.TransactionID, request.Acks, request.TimeoutMillis = &s.id, -1, int32(produceTimeout.Milliseconds())
	for _, b := range batches {
		n := slices.IndexFunc(request.Topics, func(t kmsg.ProduceRequestTopic) bool { return t.Topic == b.partition.topic })
		if n < 0 {
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = b.partition.topic, s.topics[b.partition.topic].id
			request.Topics, n = append(request.Topics, t), len(request.Topics)
		}
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = b.partition.number, b.wire
		request.Topics[n].Partitions = append(request.Topics[n].Partitions, p)
	}
	return request
}

// answerFor takes the answer for a batch, by the topic's id where the answer has ids.
func (s *sender) answerFor(b *sealed, answer *kmsg.ProduceResponse) error {
	for _, t := range answer.Topics {
		ids := t.TopicID != [16]byte{}
		if ids && t.TopicID != s.topics[b.partition.topic].id || !ids && t.Topic != b.partition.topic {
			continue
		}
		for _, p := range t.Partitions {
			if p.Partition != b.partition.number {
				continue
			}
			b.offset = p.BaseOffset
			err := kerr.ErrorForCode(p.ErrorCode)
			if err != nil && p.ErrorMessage != nil {
				err = fmt.Errorf("%w (%s)", err, *p.ErrorMessage)
			}
			return err
		}
	}
	return errors.New("the broker has not answered for it")
}

// networkError is one between this client and a broker: nobody knows whether the request arrived, and it may be sent again.
type networkError struct{ error }

// Unwrap implements the interface of package errors.
func (e *networkError) Unwrap() error { return e.error }

func retriable(err error) bool {
	var network *networkError
	return errors.As(err, &network) || kerr.IsRetriable(err) || errors.Is(err, kerr.ConcurrentTransactions)
}

// lookUp asks which brokers lead the partitions. While that cannot be had, the old answer stands. It returns an error when a
// topic is not there any more, or is another one.
func (s *sender) lookUp(ctx context.Context) error {
	request := kmsg.NewPtrMetadataRequest()
	for name := range s.topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, t)
	}
	answer, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return nil //nolint:nilerr // they are asked again after the next attempt, whose error is told
	}
	for _, t := range answer.Topics {
		info := s.topics[*t.Topic]
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return fmt.Errorf("topic %s is gone: %w", *t.Topic, err)
		case err != nil:
			continue
		case info.id != [16]byte{} && t.TopicID != info.id:
			return fmt.Errorf("topic %s is another one: its id is %s, was %s", *t.Topic, uuid.UUID(t.TopicID), uuid.UUID(info.id))
		}
		info.id = t.TopicID
		for _, p := range t.Partitions {
			if int(p.Partition) < len(info.leaders) {
				info.leaders[p.Partition] = p.Leader
			}
		}
	}
	return nil
}

// known asks until the brokers have told of all topics, of which the checkpoint's may be new.
func (s *sender) known(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout)
	defer cancel()
	for {
		err := s.lookUp(ctx)
		unknown := slices.ContainsFunc(slices.Collect(maps.Values(s.topics)), func(t *topicInfo) bool {
			return t.id == [16]byte{} || slices.Contains(t.leaders, noLeader)
		})
		if err == nil && !unknown {
			return nil
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return fmt.Errorf("the brokers do not say who leads the partitions: %w", cmp.Or(err, context.Cause(ctx)))
		}
	}
}
