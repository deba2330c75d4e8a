package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// destination is a topic that a producer writes to.
type destination struct {
	Topic

	partitions []*partition
	batchBytes int      // when a batch is full
	first      []string // the last event of each partition when the producer found the topic
}

// findWithin bounds how long a topic is looked up; another producer's open transaction is waited for.
const findWithin = 45 * time.Second

// keptRoutes bounds how many values are remembered with their topic: of many values, few may be topics.
const keptRoutes = 10_000

// destination returns where a row goes, by the value in the column that routes. A topic that is new to the producer is looked up,
// which takes a moment, and is an error if it cannot be written to: an event that has no topic is not passed over.
func (p *Producer) destination(ctx context.Context, value []byte) (*destination, error) {
	if p.only != nil {
		return p.only, nil
	}
	if t := p.routes[string(value)]; t != nil {
		return t, nil
	}
	t, err := p.find(ctx, p.config.Layout.Topic(string(value)))
	if err != nil {
		return nil, err
	}
	if len(p.routes) >= keptRoutes {
		clear(p.routes)
	}
	p.routes[string(value)] = t
	return t, nil
}

// find returns a topic by its name.
func (p *Producer) find(ctx context.Context, name string) (*destination, error) {
	if t := p.destinations[name]; t != nil {
		return t, nil
	}
	if !nameable(name) {
		return nil, fmt.Errorf("%w: %q cannot be the name of a topic", topic.ErrUnpublishable, name)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, findWithin, errors.New("no answer for too long"))
	defer cancel()
	found, err := Inspect(ctx, p.client, name)
	if err != nil {
		return nil, err
	}
	hanging, err := FindHanging(ctx, p.client, name)
	if err == nil && len(hanging) > 0 {
		err = fmt.Errorf("%w: %s, of which no coordinator knows: abort it, kafka-transactions.sh abort", ErrUnusable, hanging[0])
	}
	if err != nil {
		return nil, err
	}
	last, err := LastEvents(ctx, p.client, name)
	if err != nil {
		return nil, err
	}
	t := p.add(found)
	t.first = last
	p.sender.learn(found)
	p.config.Log.Info("topic found", "topic", name)
	return t, nil
}

// add makes a topic one of those that are written to, and shares the memory of open batches out among all of them.
func (p *Producer) add(found Topic) *destination {
	t := &destination{Topic: found, first: make([]string, found.Partitions)}
	for n := range found.Partitions {
		t.partitions = append(t.partitions, &partition{topic: found.Name, number: int32(n), acked: -1})
	}
	p.destinations[found.Name] = t
	p.all = append(p.all, t.partitions...)
	for _, t := range p.destinations {
		t.batchBytes = min(max(smallBatch, min(batchBytes, openBytes/(len(p.all)-1))), int(t.MaxMessageBytes))
	}
	return t
}

// Topics are those that the producer writes events to.
func (p *Producer) Topics() []Topic {
	var all []Topic
	for _, t := range p.destinations {
		all = append(all, t.Topic)
	}
	return all
}

// names are the topics that the producer writes to, the checkpoint's included.
func (p *Producer) names() []string {
	return append(slices.Sorted(maps.Keys(p.destinations)), p.config.CheckpointTopic)
}

// ended returns what the topic ends in behind the transaction, if it ended so before it.
func (t *destination) ended(before checkpoint.Ends) checkpoint.Ends {
	if before.Last == nil {
		before = checkpoint.Ends{ID: t.ID, Last: t.first}
	}
	cloned := false
	for i, part := range t.partitions {
		if len(part.last) == 0 {
			continue
		}
		if !cloned {
			before.Last, cloned = slices.Clone(before.Last), true
		}
		before.Last[i] = string(part.last)
		part.last = part.last[:0]
	}
	return before
}
