package bench

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// publisher writes events as the relay does, each as a source transaction of its own.
type publisher struct {
	client *kgo.Client
	topic  string
	seq    int64 // of the last event
}

// publisher connects a publisher. The caller must close its client.
func (s *servers) publisher(ctx context.Context, name string) (*publisher, error) {
	client, err := broker.Connect(ctx, s.Brokers, kgo.TransactionalID("publisher."+name), kgo.MaxBufferedRecords(100_000))
	return &publisher{client: client, topic: name}, err
}

// record shapes the next event.
func (p *publisher) record(e told) (*kgo.Record, error) {
	p.seq++
	r, err := row(e.Event, p.seq)
	if err != nil {
		return nil, err
	}
	return topic.Record(p.topic, r, topic.Source{Name: "/orders", Commit: outbox.LSN(p.seq), Committed: e.At, Last: true})
}

// publish writes events in one Kafka transaction and returns their records, which have partition and offset, when it is
// committed.
func (p *publisher) publish(ctx context.Context, events []told) ([]*kgo.Record, error) {
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		var err error
		if records[i], err = p.record(e); err != nil {
			return nil, err
		}
	}
	err := p.client.BeginTransaction()
	if err == nil {
		err = p.client.ProduceSync(ctx, records...).FirstErr()
	}
	if err == nil {
		err = p.client.EndTransaction(ctx, kgo.TryCommit)
	}
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return records, nil
}
