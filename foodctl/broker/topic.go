package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Topic is the events' topic as the brokers have it.
type Topic struct {
	Name     string
	Cluster  string       // the Kafka cluster's id
	ID       kadm.TopicID // changes when a topic is deleted and made again
	Brokers  int
	Replicas int
	Created  bool     // made by this call
	Notes    []string // what is allowed and worth knowing
}

// Settings that the topic must have: an event once written stays.
const (
	cleanupPolicy = "cleanup.policy"
	retentionMs   = "retention.ms"
	retentionSize = "retention.bytes"
	minInSync     = "min.insync.replicas"

	forever = "-1"
)

// Seeds splits a comma-separated list of addresses.
func Seeds(brokers string) []string {
	var seeds []string
	for s := range strings.SplitSeq(brokers, ",") {
		if s = strings.TrimSpace(s); s != "" {
			seeds = append(seeds, s)
		}
	}
	return seeds
}

// Connect makes a client and waits until a broker answers or ctx ends.
func Connect(ctx context.Context, brokers string, opts ...kgo.Opt) (*kgo.Client, error) {
	// The client answers from what it knows for so long: by default it would not see a topic that was just made for 5 s.
	fresh := kgo.MetadataMinAge(20 * time.Millisecond)
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(Seeds(brokers)...), fresh}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("brokers %s: %w", brokers, err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("brokers %s: no answer: %w: start Kafka there or give --brokers another address", brokers, err)
	}
	return client, nil
}

// Ensure makes the topic unless it is there, and checks its settings. The error lists every setting that is wrong.
// A topic with wrong settings is left as it is: changing them is the owner's decision.
//
// Replicas is how many it is to have, and Ensure waits for brokers to put them on; 0 is as many as there are brokers at
// this moment, up to three.
func Ensure(ctx context.Context, client *kgo.Client, name string, replicas int) (Topic, error) {
	admin := kadm.NewClient(client)
	meta, err := admin.Metadata(ctx, name)
	if err != nil {
		return Topic{}, fmt.Errorf("topic %s: %w", name, err)
	}
	created := false
	if errors.Is(meta.Topics[name].Err, kerr.UnknownTopicOrPartition) {
		if err := create(ctx, admin, name, cmp.Or(replicas, min(len(meta.Brokers), 3))); err != nil {
			return Topic{}, err
		}
		created = true
	}
	t, err := inspect(ctx, admin, name, created)
	if err == nil && t.Replicas < replicas {
		err = fmt.Errorf("topic %s has %d replicas and is to have %d: it was made when there were fewer brokers; "+
			"add them with kafka-reassign-partitions.sh", name, t.Replicas, replicas)
	}
	return t, err
}

// create makes the topic, all replicas but one in sync. While there are fewer brokers than replicas it waits for more: only
// the controller knows how many there are, each broker hears of it later.
func create(ctx context.Context, admin *kadm.Client, name string, replicas int) error {
	settings := make(map[string]*string)
	for name, value := range Settings(replicas) {
		settings[name] = &value
	}
	for {
		_, err := admin.CreateTopic(ctx, topic.Partitions, int16(replicas), settings, name)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
			return nil
		}
		if !errors.Is(err, kerr.InvalidReplicationFactor) || ops.Sleep(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("create topic %s with %d replicas: %w", name, replicas, err)
		}
	}
}

// Settings are those that a topic with so many replicas is made with.
func Settings(replicas int) map[string]string {
	return map[string]string{
		cleanupPolicy: "delete",
		retentionMs:   forever,
		retentionSize: forever,
		minInSync:     strconv.Itoa(wantInSync(replicas)),
	}
}

// wantInSync is how many replicas must have a record before it is acknowledged.
func wantInSync(replicas int) int {
	return max(1, replicas-1)
}

func inspect(ctx context.Context, admin *kadm.Client, name string, created bool) (Topic, error) {
	detail, cluster, err := await(ctx, admin, name)
	if err != nil {
		return Topic{}, err
	}
	t := Topic{
		Name: name, Cluster: cluster.Cluster, ID: detail.ID, Brokers: len(cluster.Brokers),
		Replicas: detail.Partitions.NumReplicas(), Created: created,
	}
	configs, err := admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return Topic{}, fmt.Errorf("settings of topic %s: %w", name, err)
	}
	config, err := configs.On(name, nil)
	if err = errors.Join(err, config.Err); err != nil {
		return Topic{}, fmt.Errorf("settings of topic %s: %w", name, err)
	}
	value := make(map[string]string)
	for _, c := range config.Configs {
		value[c.Key] = c.MaybeValue()
	}
	t.Notes = notes(t, value)
	return t, wrong(name, len(detail.Partitions), value)
}

// await returns the topic once the brokers know it, which a new one takes a moment for.
func await(ctx context.Context, admin *kadm.Client, name string) (kadm.TopicDetail, kadm.Metadata, error) {
	for {
		meta, err := admin.Metadata(ctx, name)
		if err != nil {
			return kadm.TopicDetail{}, meta, fmt.Errorf("topic %s: %w", name, err)
		}
		detail := meta.Topics[name]
		if detail.Err == nil {
			return detail, meta, nil
		}
		if !kerr.IsRetriable(detail.Err) {
			return detail, meta, fmt.Errorf("topic %s: %w", name, detail.Err)
		}
		if err := ops.Sleep(ctx, 50*time.Millisecond); err != nil {
			return detail, meta, fmt.Errorf("topic %s: %w", name, errors.Join(detail.Err, err))
		}
	}
}

// wrong lists the settings under which events get lost or out of order.
func wrong(name string, partitions int, value map[string]string) error {
	var errs []error
	if partitions != topic.Partitions {
		errs = append(errs, fmt.Errorf("topic %s has %d partitions and must have %d; the number cannot be changed without "+
			"mixing up the order of events: use another topic, or delete this one", name, partitions, topic.Partitions))
	}
	for _, want := range []struct{ key, value, harm string }{
		{cleanupPolicy, "delete", "compaction would remove all but the last event of each order"},
		{retentionMs, forever, "events would be removed by age"},
		{retentionSize, forever, "events would be removed by size"},
	} {
		if got, known := value[want.key]; known && got != want.value {
			errs = append(errs, fmt.Errorf("topic %s has %s=%s, and %s: set it with kafka-configs.sh --alter --topic %s --add-config %s=%s",
				name, want.key, got, want.harm, name, want.key, want.value))
		}
	}
	return errors.Join(errs...)
}

func notes(t Topic, value map[string]string) []string {
	var n []string
	if t.Replicas == 1 {
		n = append(n, "one replica: an acknowledged event is as safe as that broker's disk")
	}
	if got := value[minInSync]; t.Replicas > 1 && got != "" && got != strconv.Itoa(wantInSync(t.Replicas)) {
		n = append(n, fmt.Sprintf("%s=%s with %d replicas; %d is the usual choice", minInSync, got, t.Replicas, wantInSync(t.Replicas)))
	}
	return n
}
