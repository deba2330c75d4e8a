package viewtest

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Producer publishes events as the relay does.
type Producer struct {
	Client *kgo.Client

	t     testing.TB
	topic string
}

// NewProducer makes a producer with a transactional id of its own.
func NewProducer(t testing.TB, brokers, topic string) *Producer {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.TransactionalID(testenv.Name(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &Producer{Client: client, t: t, topic: topic}
}

// Record shapes an event as the relay does.
func (p *Producer) Record(e Event) *kgo.Record {
	row := outbox.Row{
		Seq: []byte("1"), ID: []byte(e.ID.String()), AggregateID: []byte(e.Order.String()), Type: []byte(e.Type),
		Version: strconv.AppendInt(nil, e.Version, 10), Payload: e.Payload,
		OccurredAt: []byte(e.At.Format("2006-01-02 15:04:05.999999+00")),
	}
	record, err := topic.Record(p.topic, row, topic.Source{Name: "/orders", Committed: time.Now()})
	if err != nil {
		panic(err) // a bug of the test's
	}
	return record
}

// Send sends the events in transactions of size events. After a small one an aborted one with the first of its events
// follows: a reader that saw it would count twice.
func (p *Producer) Send(events []Event, size int) error {
	for len(events) > 0 {
		n := min(size, len(events))
		records := make([]*kgo.Record, n)
		for i, e := range events[:n] {
			records[i] = p.Record(e)
		}
		if err := p.Transaction(kgo.TryCommit, records...); err != nil {
			return err
		}
		if size < 100 {
			if err := p.Transaction(kgo.TryAbort, p.Record(events[0])); err != nil {
				return err
			}
		}
		events = events[n:]
	}
	return nil
}

// Transaction sends the records in one transaction that ends as told.
func (p *Producer) Transaction(end kgo.TransactionEndTry, records ...*kgo.Record) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := p.Client.BeginTransaction(); err != nil {
		return err
	}
	if err := p.Client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	return p.Client.EndTransaction(ctx, end)
}
