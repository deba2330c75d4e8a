package app

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

// eventSet holds events by eventKey.
type eventSet map[[16]byte]struct{}

// eventKey is an event in the topic that it is for: rows of two tables may have the same id. It is the first half of a SHA-256:
// 16 bytes each, whatever the ids look like.
func eventKey(topic string, id []byte) [16]byte {
	b := append([]byte(topic), 0)
	sum := sha256.Sum256(append(b, id...))
	return [16]byte(sum[:16])
}

// topicOf is the topic that a row is for; empty if it does not say.
func (s *session) topicOf(row outbox.Row) string {
	only := s.onlyTopic()
	if only != "" || row.AggregateType == nil {
		return only
	}
	return s.layout.Topic(string(row.AggregateType))
}

// published reads which events the topics have.
func (s *session) published(ctx context.Context) (eventSet, error) {
	set := make(eventSet)
	for _, name := range s.names() {
		err := s.eachRecord(ctx, s.topics[name], s.layout.Order != "", func(e recorded) error {
			set[e.key] = struct{}{}
			return s.placed(e)
		})
		if err != nil {
			return nil, err
		}
	}
	return set, nil
}

// recorded is an event as it was found.
type recorded struct {
	key       [16]byte // of the topic that it was for: a dead letter's is another one
	id        string
	partition int
	own       int // where the relay would put it
	topic     string
}

// placed refuses an event that is not in the partition where the relay puts those of its key.
func (s *session) placed(e recorded) error {
	if e.own == e.partition {
		return nil
	}
	return &checkpoint.Refusal{
		Gate: checkpoint.GateTopic,
		Found: fmt.Sprintf("event %s is in partition %d of %s, its order's later ones would go to %d: partitions were added, "+
			"or its writer has other keys", e.id, e.partition, e.topic, e.own),
		Remedy: s.anotherTopic(),
	}
}

// eachRecord calls f with each event in a topic. It refuses one whose beginning is gone, if whole: what was deleted there
// cannot be told from what was never published.
func (s *session) eachRecord(ctx context.Context, of publish.Topic, whole bool, f func(recorded) error) error {
	partitions, _, err := tail.Open(ctx, s.kafka, of.Name)
	if err != nil {
		return err
	}
	for n, p := range partitions {
		if whole && p.Start > 0 {
			return &checkpoint.Refusal{
				Gate:   checkpoint.GateTopic,
				Found:  fmt.Sprintf("partition %d of %s begins at offset %d: records were deleted, and which events they were cannot be known", n, of.Name, p.Start),
				Remedy: s.anotherTopic(),
			}
		}
		err := p.Scan(ctx, p.Start, func(r *kgo.Record) error {
			id, err := topic.ID(r)
			if err != nil {
				return err
			}
			e := recorded{id: id, partition: n, own: n, topic: of.Name}
			if of.Name == s.layout.DeadLetters {
				e.key = eventKey(topic.Meant(r), []byte(id))
				return f(e)
			}
			e.key = eventKey(of.Name, []byte(id))
			if r.Key != nil {
				e.own = of.Partition(r.Key)
			}
			return f(e)
		})
		if err != nil {
			return foreign(err)
		}
	}
	return nil
}

// anotherTopic is the way out where a topic can be gone on with by nobody.
func (s *session) anotherTopic() string {
	if s.layout.Own {
		return "Make a new topic, run relay recover with --topic and rebuild the topic's readers"
	}
	return "Make new topics, with another route.topic.replacement and topic.prefix, or set snapshot.mode to no_data, with which the table is never read; " +
		"then run relay recover --reason '...'"
}
