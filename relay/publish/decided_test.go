package publish

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// pair is Apache Kafka of two brokers. The second leads partition 2 of the topic and nothing else.
type pair struct {
	*target

	config kafkaserver.Config // of the second
	second *kafkaserver.Server
	log    journal
}

func setupPair(t *testing.T) *pair {
	t.Helper()
	if err := kafkaserver.Available(); err != nil {
		t.Skip(err)
	}
	first := startKafka(t, kafkaserver.Config{Dir: t.TempDir()})
	client := connect(t, []string{first.Address()})
	// What is made now is the first broker's, for want of another: the transactions' coordinator and the checkpoint.
	ask := kmsg.NewPtrInitProducerIDRequest()
	ask.TransactionalID, ask.TransactionTimeoutMillis = kmsg.StringPtr("any"), 1000
	if _, err := ask.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.EnsureTopic(t.Context(), client, checkpoint.Topic("events", "slot"), 1, "1"); err != nil {
		t.Fatal(err)
	}
	p := &pair{config: kafkaserver.Config{Dir: t.TempDir(), Join: first, Node: 2}}
	p.start(t)
	create(t, client, "events", 1, 1, 2)
	p.target = setupTopic(t, []string{first.Address()}, "events")
	p.target.config.Log = p.log.logger()
	return p
}

func startKafka(t *testing.T, c kafkaserver.Config) *kafkaserver.Server {
	t.Helper()
	s, err := kafkaserver.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() }) // which the test may have done
	return s
}

// create makes a topic, with each partition on the broker given for it.
func create(t *testing.T, client *kgo.Client, name string, brokers ...int32) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for n, broker := range brokers {
		topic.ReplicaAssignment = append(topic.ReplicaAssignment,
			kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(n), Replicas: []int32{broker}})
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *pair) start(t *testing.T) {
	t.Helper()
	p.second = startKafka(t, p.config)
	p.config.Port = p.second.Port()
}

func (p *pair) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.second.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// Where a partition has no leader just when a transaction ends, the coordinator takes it for deleted and leaves its marker
// out (KAFKA-20734). Readers would wait for it for ever; and were it aborted then, as a hanging one, its event would be lost,
// because the checkpoint is committed.
func TestMarkersThatTheCoordinatorLeftOutAreWritten_I4(t *testing.T) {
	t.Parallel()
	k := setupPair(t)
	p := k.open()
	var committed [][]outbox.Row
	commit := func(partitions ...int) {
		committed = append(committed, k.rows(p, partitions...))
		k.add(p, committed[len(committed)-1])
		if err := flush(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		k.stop(t)
		if _, err := p.Commit(t.Context(), k.checkpoint(int64(len(committed)))); err != nil {
			t.Fatal(err)
		}
		k.start(t)
	}
	// The producer lives on, and goes on elsewhere.
	commit(0, 2)
	committed = append(committed, k.rows(p, 1))
	k.add(p, committed[1])
	if _, err := p.Commit(t.Context(), k.checkpoint(2)); err != nil {
		t.Fatal(err)
	}
	k.committed() // comes to its end only when the marker is there
	k.written(t, 1)
	k.holds(committed...)

	// It dies.
	p = k.open()
	commit(2)
	p.Close()
	k.holds(committed...)
	k.written(t, 2)

	// It dies in the middle of a transaction, which is aborted without its marker.
	p = k.open()
	k.add(p, k.rows(p, 2))
	if err := flush(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Close()
	k.stop(t)
	k.abort(t, p.sender.producer, p.sender.epoch)
	k.start(t)
	k.holds(committed...)
	k.written(t, 3)
}

// written checks that the relay has written so many markers: the fault has happened, and nothing else was taken for it.
func (p *pair) written(t *testing.T, want int) {
	t.Helper()
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	if got := bytes.Count(p.log.text.Bytes(), []byte("a marker that the broker left out")); got != want {
		t.Errorf("%d markers were written, want %d; the log:\n%s", got, want, &p.log.text)
	}
}

// abort does what the coordinator does with a transaction that nobody ends in time.
func (p *pair) abort(t *testing.T, producer int64, epoch int16) {
	t.Helper()
	request := kmsg.NewPtrEndTxnRequest()
	request.TransactionalID = p.target.config.TransactionalID
	request.ProducerID, request.ProducerEpoch = producer, epoch
	answer, err := request.RequestWith(t.Context(), p.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}
