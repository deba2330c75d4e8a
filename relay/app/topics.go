package app

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
)

// inspect looks up the topics that events are in. Where rows are routed, those are the checkpoint's. It is looked at here without
// regard to other relays, for the names alone: what it says of the position is read again behind the fence.
func (s *session) inspect(ctx context.Context) error {
	names, err := s.topicNames(ctx)
	if err != nil {
		return err
	}
	s.topics, s.asked = make(map[string]publish.Topic), names
	for _, name := range names {
		found, err := publish.Inspect(ctx, s.kafka, name)
		if errors.Is(err, publish.ErrNoTopic) && s.layout.Routed() && name != s.layout.DeadLetters {
			continue // for the gate to say
		}
		if err != nil {
			return err
		}
		s.topics[name] = found
	}
	return nil
}

func (s *session) topicNames(ctx context.Context) (names []string, err error) {
	if only := s.onlyTopic(); only != "" {
		names = []string{only}
	} else {
		cp, _, err := checkpoint.Peek(ctx, s.kafka, s.checkpointTopic())
		if err != nil && !errors.Is(err, checkpoint.ErrDamaged) { // recover, which alone goes on from that, looks them up by the table
			return nil, err
		}
		names = slices.Collect(maps.Keys(cp.Topics))
	}
	if s.layout.DeadLetters != "" {
		names = append(names, s.layout.DeadLetters)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// found makes topics that rows are routed to known, as far as they exist.
func (s *session) found(ctx context.Context, names iter.Seq[string]) error {
	for name := range names {
		if _, known := s.topics[name]; known {
			continue
		}
		topic, err := publish.Inspect(ctx, s.kafka, name)
		if errors.Is(err, publish.ErrNoTopic) { // the row itself will say so
			continue
		}
		if err != nil {
			return err
		}
		s.topics[name] = topic
	}
	return nil
}

// onlyTopic is where all events go; empty if they are routed.
func (s *session) onlyTopic() string {
	switch {
	case s.layout.Routed():
		return ""
	case s.layout.Own:
		return s.config.Topic
	}
	return s.layout.FixedTopic()
}

// names are the topics that events are in.
func (s *session) names() []string { return slices.Sorted(maps.Keys(s.topics)) }

// ends is what the topics end in now.
func (s *session) ends(ctx context.Context) (map[string]checkpoint.Ends, error) {
	ends := make(map[string]checkpoint.Ends)
	for name, topic := range s.topics {
		last, err := publish.LastEvents(ctx, s.kafka, name)
		if err != nil {
			return nil, foreign(err)
		}
		ends[name] = checkpoint.Ends{ID: topic.ID, Last: last}
	}
	return ends, nil
}

// cluster is the id of the Kafka cluster.
func (s *session) cluster(ctx context.Context) (string, error) {
	for _, topic := range s.topics {
		return topic.ClusterID, nil
	}
	meta, err := kadm.NewClient(s.kafka).BrokerMetadata(ctx)
	return meta.Cluster, err
}

// strength is how many replicas the checkpoint topic has, and how many must have a record: as many as the topic of the events,
// and where none is known yet, as many as there are brokers for, up to three.
func (s *session) strength(ctx context.Context) (replicas int16, minISR string, err error) {
	for _, topic := range s.topics {
		if topic.Replicas > replicas {
			replicas, minISR = topic.Replicas, topic.MinISR
		}
	}
	if replicas > 0 {
		return replicas, minISR, nil
	}
	brokers, err := kadm.NewClient(s.kafka).ListBrokers(ctx)
	replicas = int16(min(3, len(brokers)))
	return replicas, strconv.Itoa(max(1, int(replicas)-1)), err
}

// format is that of the checkpoints.
func (s *session) format() int {
	if s.layout.Routed() || s.layout.DeadLetters != "" {
		return checkpoint.FormatRouted
	}
	return checkpoint.Format
}
