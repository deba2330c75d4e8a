package bench

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// bareProducer writes the records that the relay writes, from memory and without transactions: the least that any
// producer of these records has to do. It is idempotent, as every transactional one is.
type bareProducer struct {
	client  *kgo.Client
	records []*kgo.Record // written over and over, n in all

	once   sync.Once
	failed error // the first; read after Flush
}

// distinct is how many different records a bare producer writes. To make them is none of its work, and a million of
// them would take a gigabyte.
const distinct = 50_000

// records are the first of a trial's events as the relay publishes them.
func (t trial) records(n int64, perTransaction int) ([]*kgo.Record, error) {
	list := make([]*kgo.Record, 0, min(n, distinct))
	for i := range cap(list) {
		r, err := row(t.event(number(i)), int64(i)+1)
		if err != nil {
			return nil, err
		}
		record, err := topic.Record("", r, topic.Source{
			Name: "/orders", Commit: outbox.LSN(i + 1), Committed: firstAt,
			Index: i % perTransaction, Last: (i+1)%perTransaction == 0,
		})
		if err != nil {
			return nil, err
		}
		list = append(list, record)
	}
	return list, nil
}

// producer connects a bare producer. The caller must close its client.
func (s *servers) producer(
	ctx context.Context, name string, codec kgo.CompressionCodec, records []*kgo.Record,
) (*bareProducer, error) {
	client, err := broker.Connect(ctx, s.Brokers,
		kgo.DefaultProduceTopic(name),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec),
		kgo.MaxBufferedRecords(100_000),
	)
	if err != nil {
		return nil, err
	}
	return &bareProducer{client: client, records: records}, nil
}

// run writes n records and waits until the broker has all of them.
func (p *bareProducer) run(ctx context.Context, n int64) error {
	for i := range n {
		// The record belongs to the client from here on; what it points to does not change.
		from := p.records[i%int64(len(p.records))]
		r := &kgo.Record{Key: from.Key, Value: from.Value, Headers: from.Headers, Timestamp: from.Timestamp}
		p.client.Produce(ctx, r, p.promise)
	}
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("bare producer: %w", err)
	}
	if p.failed != nil {
		return fmt.Errorf("bare producer: %w", p.failed)
	}
	return nil
}

func (p *bareProducer) promise(_ *kgo.Record, err error) {
	if err != nil {
		p.once.Do(func() { p.failed = err })
	}
}
