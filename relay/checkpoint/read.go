package checkpoint

import (
	"context"
	"errors"
	"fmt"

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

// EnsureTopic makes the checkpoint topic if it is missing, with as many replicas as the data topic has. One that exists
// must have one partition and must not delete by age.
func EnsureTopic(ctx context.Context, client *kgo.Client, name string, replicas int16) error {
	admin := kadm.NewClient(client)
	_, err := admin.CreateTopic(ctx, 1, replicas, settings, name)
	if err == nil {
		return nil
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
			return fmt.Errorf("the checkpoint topic %s has cleanup.policy=%s, which may delete the checkpoint: set it to compact", name, c.MaybeValue())
		}
	}
	return nil
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
		return Record{}, false, fmt.Errorf("the checkpoint topic %s has %d partitions, want 1: which holds the last one?", topic, len(partitions))
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
