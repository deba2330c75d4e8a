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
	partitions, _, err := tail.Open(ctx, client, topic)
	if err != nil {
		return Record{}, false, err
	}
	if len(partitions) != 1 {
		return Record{}, false, fmt.Errorf("%w: %s has %d partitions, want 1: which holds the last one?", ErrTopic, topic, len(partitions))
	}
	last, err := partitions[0].Last(ctx)
	if err != nil || last == nil {
		return Record{}, false, err
	}
	r, err := Unmarshal(last.Value)
	if err != nil {
		return Record{}, false, fmt.Errorf("%s offset %d: %w", topic, last.Offset, err)
	}
	return r, true, nil
}
