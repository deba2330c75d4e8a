package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/plugin/kslog"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

// ErrUnusable means that a topic or a broker cannot be published to before somebody changes it.
var ErrUnusable = errors.New("kafka cannot be used")

// ErrNoTopic means that there is no topic of that name. It is an ErrUnusable.
var ErrNoTopic = fmt.Errorf("%w: there is no such topic", ErrUnusable)

// topicName is what Kafka takes as a topic's name (org.apache.kafka.common.internals.Topic). A broker's answer for another name
// is an error of the request.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func nameable(topic string) bool {
	return topicName.MatchString(topic) && topic != "." && topic != ".."
}

// Topic is what the relay must know of the topic that it publishes to.
type Topic struct {
	Name            string
	ID              string
	ClusterID       string
	Partitions      int
	Replicas        int16
	MaxMessageBytes int32
	MinISR          string // min.insync.replicas
	// Kept is how long a record is kept at least; negative for ever, 0 if that depends on how much is written.
	Kept time.Duration
}

// Connect makes a client for looking and reading, without a transactional id: it fences nobody.
func Connect(brokers []string, security kafka.Security, log *slog.Logger) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(security.Options(), kgo.SeedBrokers(brokers...), kgo.ClientID("relay"), clientLog(log),
		kgo.MetadataMinAge(100*time.Millisecond))...) // a start asks for topics that it has just made; 5 s is the default
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return client, nil
}

// Partition returns where the events with a key go.
func (t Topic) Partition(key []byte) int { return partitionOf(key, t.Partitions) }

// clientLog takes in what the client says.
func clientLog(log *slog.Logger) kgo.Opt {
	return kgo.WithLogger(kslog.New(ops.Library(log.WithGroup("kafka"))))
}

// Inspect looks the topic up. It returns an error that wraps ErrNoTopic if it does not exist, and ErrUnusable if the brokers'
// transactions are of a version that cannot tell one transaction's end from the next one's.
func Inspect(ctx context.Context, client *kgo.Client, name string) (Topic, error) {
	if err := checkTransactions(ctx, client); err != nil {
		return Topic{}, err
	}
	if !nameable(name) {
		return Topic{}, fmt.Errorf("%w: %q cannot be the name of one", ErrNoTopic, name)
	}
	admin := kadm.NewClient(client)
	meta, err := admin.Metadata(ctx, name)
	if err == nil {
		err = meta.Topics[name].Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return Topic{}, fmt.Errorf("%w: topic %s does not exist: make it, as foodctl topics makes that of the food orders", ErrNoTopic, name)
	}
	if err != nil {
		return Topic{}, fmt.Errorf("look up topic %s: %w", name, err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, name)
	if err == nil {
		err = configs[0].Err
	}
	if err != nil {
		return Topic{}, fmt.Errorf("settings of topic %s: %w", name, err)
	}
	detail := meta.Topics[name]
	t := Topic{
		Name: name, ID: uuid.UUID(detail.ID).String(), ClusterID: meta.Cluster,
		Partitions: len(detail.Partitions), Replicas: int16(detail.Partitions.NumReplicas()),
	}
	return t, t.settings(configs[0].Configs)
}

// settings takes in those that matter.
func (t *Topic) settings(configs []kadm.Config) error {
	kept, bounded := int64(-1), false
	for _, c := range configs {
		switch c.Key {
		case "retention.ms":
			kept, _ = strconv.ParseInt(c.MaybeValue(), 10, 64) // what cannot be read counts as not kept
		case "retention.bytes":
			bounded = c.MaybeValue() != "-1"
		case "max.message.bytes":
			n, err := strconv.ParseInt(c.MaybeValue(), 10, 32)
			if err != nil {
				return fmt.Errorf("max.message.bytes of topic %s: %w", t.Name, err)
			}
			t.MaxMessageBytes = int32(n)
		case "min.insync.replicas":
			t.MinISR = c.MaybeValue()
		case "cleanup.policy":
			if c.MaybeValue() != "delete" {
				return fmt.Errorf("%w: topic %s has cleanup.policy=%s, which drops events of an order that has later ones: set it to delete",
					ErrUnusable, t.Name, c.MaybeValue())
			}
		}
	}
	switch {
	case bounded:
	case kept < 0, kept > math.MaxInt64/int64(time.Millisecond):
		t.Kept = -1
	default:
		t.Kept = time.Duration(kept) * time.Millisecond
	}
	return nil
}

// Reach returns an error if no broker can be reached.
func Reach(ctx context.Context, client *kgo.Client) error {
	_, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("reach a broker: %w", cmp.Or(context.Cause(ctx), err))
	}
	return nil
}

// checkTransactions wants transaction.version 2 (KIP-890): before it, a commit that was delayed on the way could end the
// transaction after its own.
func checkTransactions(ctx context.Context, client *kgo.Client) error {
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("versions of the brokers: %w", err)
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
			return nil
		}
	}
	return fmt.Errorf("%w: transaction.version is not 2: the brokers must be Apache Kafka 4.0 or later, "+
		"upgraded with kafka-features.sh upgrade --feature transaction.version=2", ErrUnusable)
}

// LastEvents returns the id of the last committed event in each partition; empty for none.
func LastEvents(ctx context.Context, client *kgo.Client, name string) ([]string, error) {
	partitions, _, err := tail.Open(ctx, client, name)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(partitions))
	for i, p := range partitions {
		last, err := p.Last(ctx)
		if err != nil {
			return nil, err
		}
		if last == nil {
			continue
		}
		if ids[i], err = topic.ID(last); err != nil {
			return nil, err
		}
	}
	return ids, nil
}
