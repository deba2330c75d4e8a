package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

// Topic returns the name of the checkpoint topic of a slot that feeds a topic.
func Topic(topic, slot string) string {
	return topic + ".checkpoint." + slot
}

// Settings of the checkpoint topic. Compaction never touches the segment that is being written, so segments are small:
// what a start may have to read is one of them, not a history.
var settings = map[string]*string{
	"cleanup.policy":            kadm.StringPtr("compact"),
	"segment.bytes":             kadm.StringPtr("1048576"),
	"segment.ms":                kadm.StringPtr("3600000"),
	"min.cleanable.dirty.ratio": kadm.StringPtr("0.1"),
}

// ErrTopic means that the checkpoint topic is such that it could lose the checkpoint, or hide it.
var ErrTopic = errors.New("the checkpoint topic cannot be used")

// EnsureTopic makes the checkpoint topic if it is missing, with the replicas and the min.insync.replicas of the data topic:
// it must not be the weaker one. One that exists must not delete by age.
func EnsureTopic(ctx context.Context, client *kgo.Client, name string, replicas int16, minISR string) error {
	admin := kadm.NewClient(client)
	with := maps.Clone(settings)
	with["min.insync.replicas"] = &minISR
	_, err := admin.CreateTopic(ctx, 1, replicas, with, name)
	if err == nil {
		return known(ctx, admin, name)
	}
	if !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("make the checkpoint topic %s: %w", name, err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, name)
	if err == nil {
		err = configs[0].Err
	}
	if err != nil {
		return fmt.Errorf("settings of the checkpoint topic %s: %w", name, err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == "cleanup.policy" && c.MaybeValue() != "compact" {
			return fmt.Errorf("%w: %s has cleanup.policy=%s, which may delete the checkpoint: set it to compact", ErrTopic, name, c.MaybeValue())
		}
	}
	return nil
}

// known waits until the brokers know a topic that was just made: they learn of it after the one that made it has answered.
func known(ctx context.Context, admin *kadm.Client, name string) error {
	for {
		topics, err := admin.ListTopics(ctx, name)
		if err != nil || topics[name].Err == nil {
			return err
		}
		if !errors.Is(topics[name].Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("the checkpoint topic %s: %w", name, topics[name].Err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Read returns the last committed checkpoint, or false if there has never been one.
//
// The caller must have fenced other producers before. Otherwise one of them could commit behind the record that is read
// here, and its transaction would be published twice (I6).
func Read(ctx context.Context, client *kgo.Client, topic string) (Record, bool, error) {
	p, err := partition(ctx, client, topic)
	if err != nil {
		return Record{}, false, err
	}
	return last(ctx, topic, p)
}

// Peek is Read for whoever only looks, and has fenced nobody: it waits for no transaction that is open, so a moment later
// there may be a newer one. A topic that does not exist holds none.
func Peek(ctx context.Context, client *kgo.Client, topic string) (Record, bool, error) {
	p, err := partition(ctx, client, topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, err
	}
	stable, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = stable.Error()
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("last stable offset of %s: %w", topic, err)
	}
	if at, there := stable.Lookup(topic, 0); there {
		p.End = min(p.End, at.Offset)
	}
	return last(ctx, topic, p)
}

func partition(ctx context.Context, client *kgo.Client, topic string) (tail.Partition, error) {
	partitions, _, err := tail.Open(ctx, client, topic)
	if err != nil {
		return tail.Partition{}, err
	}
	if len(partitions) != 1 {
		return tail.Partition{}, fmt.Errorf("%w: %s has %d partitions, want 1: which holds the last one?", ErrTopic, topic, len(partitions))
	}
	return partitions[0], nil
}

func last(ctx context.Context, topic string, p tail.Partition) (Record, bool, error) {
	record, err := p.Last(ctx)
	if err != nil || record == nil {
		return Record{}, false, err
	}
	r, err := Unmarshal(record.Value)
	if err != nil {
		return Record{}, false, fmt.Errorf("%s offset %d: %w", topic, record.Offset, err)
	}
	return r, true, nil
}
