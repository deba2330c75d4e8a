package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
)

// TestAbortedTransactionsAndOneThatHangs_I8 has a stranger write to the topic, between the relay's transactions, in some that he aborts and in
// a last one that he leaves open: what is committed behind it cannot be read until the operator ends it. A projector that read what is not
// committed would park his records as dead letters, and one that took the end of the log for the end of what can be read would
// wait for it in a claim. Nor does it go on past the open transaction, which may still commit.
func TestAbortedTransactionsAndOneThatHangs_I8(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	p.relay("relay")
	projectors := []*program{p.projector("projector-1", "PROJECTOR_INSTANCE=1"), p.projector("projector-2", "PROJECTOR_INSTANCE=2")}
	traffic := p.traffic(40)
	p.until("both have a share", func() bool { return shared(topic.Partitions, projectors...) })
	p.flowing(100)
	s := stranger(p)
	for range 10 {
		s.write(0, 1, 2)
		if err := s.client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		p.flowing(20)
	}
	s.write(0)
	hanging := s.open(0)
	others := p.elsewhere()
	p.until("events wait behind the open transaction", func() bool { return s.end(s.admin.ListEndOffsets) >= hanging.CurrentTxnStartOffset+200 })
	p.until("the other partitions go on", func() bool { return p.elsewhere() >= others+200 })
	for _, g := range projectors { // of which one claims the partition while it is held back
		g.kill()
		g.start()
	}
	p.until("both have a share again", func() bool { return shared(topic.Partitions, projectors...) })
	others = p.elsewhere()
	p.until("the other partitions go on", func() bool { return p.elsewhere() >= others+100 })
	if next := p.number(p.readModel, "SELECT next_offset FROM projection_offsets WHERE part = 0"); next > hanging.CurrentTxnStartOffset {
		t.Errorf("partition 0 is at %d, with a transaction open since %d", next, hanging.CurrentTxnStartOffset)
	}
	if end := s.end(s.admin.ListCommittedOffsets); end != hanging.CurrentTxnStartOffset {
		t.Errorf("partition 0 can be read up to %d, want %d", end, hanging.CurrentTxnStartOffset)
	}
	if err := publish.EndHanging(t.Context(), s.client, []publish.Hanging{hanging}); err != nil {
		t.Fatal(err)
	}
	p.flowing(100)
	if a := p.aborted(); a.Transactions < 11 || a.Records < 31 {
		t.Errorf("the topic holds %+v that was aborted, want 11 transactions with 31 records", a)
	}
	p.holds(traffic, 500)
}

// elsewhere is how many events of all partitions but the first are applied.
func (p *pipeline) elsewhere() int64 {
	return p.number(p.readModel, "SELECT sum(applied_events)::bigint FROM projection_offsets WHERE part > 0")
}

// intruder is a producer that has no business in the topic.
type intruder struct {
	*pipeline

	client *kgo.Client
	admin  *kadm.Client
}

func stranger(p *pipeline) *intruder {
	p.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers), kgo.TransactionalID(testenv.Name(p)), kgo.TransactionTimeout(10*time.Minute),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(client.Close)
	return &intruder{pipeline: p, client: client, admin: kadm.NewClient(client)}
}

// write writes a record to each of the partitions, in a transaction that it leaves open.
func (s *intruder) write(partitions ...int32) {
	s.Helper()
	if err := s.client.BeginTransaction(); err != nil {
		s.Fatal(err)
	}
	for _, part := range partitions {
		record := &kgo.Record{Topic: s.topic, Partition: part, Value: []byte("none of yours")}
		if err := s.client.ProduceSync(s.Context(), record).FirstErr(); err != nil {
			s.Fatal(err)
		}
	}
}

// open is its open transaction, as a partition has it.
func (s *intruder) open(part int32) publish.Hanging {
	s.Helper()
	id, _, err := s.client.ProducerID(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	described, err := s.admin.DescribeProducers(s.Context(), kadm.TopicsSet{s.topic: {part: {}}})
	if err != nil {
		s.Fatal(err)
	}
	for _, producer := range described.SortedProducers() {
		if producer.ProducerID == id && producer.CurrentTxnStartOffset >= 0 {
			return publish.Hanging(producer)
		}
	}
	s.Fatal("the stranger has no transaction open")
	return publish.Hanging{}
}

// end is that of partition 0, as listed.
func (s *intruder) end(list func(context.Context, ...string) (kadm.ListedOffsets, error)) int64 {
	s.Helper()
	ends, err := list(s.Context(), s.topic)
	if err != nil {
		s.Fatal(err)
	}
	end, _ := ends.Lookup(s.topic, 0)
	return end.Offset
}
