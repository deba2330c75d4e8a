package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
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
		committed = append(committed, k.rows(partitions...))
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
	// The producer lives on, and has nothing to do.
	commit(0, 2)
	k.committed() // comes to its end only when the marker is there
	k.written(t, 1)

	// It goes on elsewhere, and dies.
	commit(2)
	committed = append(committed, k.rows(1))
	k.add(p, committed[2])
	if _, err := p.Commit(t.Context(), k.checkpoint(3)); err != nil {
		t.Fatal(err)
	}
	k.written(t, 2)
	p.Close()
	k.holds(committed...)

	// It dies.
	p = k.open()
	commit(2)
	p.Close()
	k.holds(committed...)
	k.written(t, 3)

	// It dies in the middle of a transaction, which is aborted without its marker.
	p = k.open()
	k.add(p, k.rows(2))
	if err := flush(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Close()
	k.stop(t)
	k.abort(t, p.sender.producer, p.sender.epoch)
	k.start(t)
	k.holds(committed...)
	k.written(t, 4)
}

// written waits until the relay has said that it wrote so many markers: the fault has happened, and nothing else was taken
// for it.
func (p *pair) written(t *testing.T, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		got := strings.Count(p.log.String(), "a marker that the broker left out was written")
		if got == want {
			return
		}
		if err := ops.Sleep(ctx, 20*time.Millisecond); err != nil || got > want {
			t.Fatalf("%d markers were written, want %d", got, want)
		}
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

// Whatever else hangs in a partition is not touched: what is not decided on is not for the relay to decide.
func TestOnlyWhatWasDecidedIsCompleted_I4(t *testing.T) {
	t.Parallel()
	const producer, epoch = 77, 8 // of the coordinator: the decision is about the transaction before
	for state, want := range map[string][]string{
		"CompleteCommit": {"commit of 7 in 0"},
		"CompleteAbort":  {"abort of 7 in 0"},
		"Ongoing":        {"commit of 7 in 0"}, // of the next one
		"Empty":          nil,
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			k, cluster := setupFaulty(t)
			answerTransaction(cluster, producer, epoch, state)
			answerProducers(cluster, ofEvents(map[int32][]producerState{
				0: {{producer, epoch - 1, 3}, {producer + 1, epoch - 1, 4}},
				1: {{producer, epoch - 2, 3}},
				2: {{producer, epoch - 1, -1}},
			}))
			var written []string
			cluster.ControlKey(int16(kmsg.WriteTxnMarkers), func(request kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				for _, m := range request.(*kmsg.WriteTxnMarkersRequest).Markers {
					verb := map[bool]string{true: "commit", false: "abort"}[m.Committed]
					written = append(written, fmt.Sprintf("%s of %d in %d", verb, m.ProducerEpoch, m.Topics[0].Partitions[0]))
				}
				return nil, nil, false
			})
			k.open().Close()
			if !slices.Equal(written, want) {
				t.Errorf("markers %q were written, want %q", written, want)
			}
		})
	}
}

// A decision that could not be carried out is still there at the next start.
func TestDecisionOutlivesAStartThatFails_I4(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	answerTransaction(cluster, 77, 8, "CompleteCommit")
	answerProducers(cluster, ofEvents(map[int32][]producerState{0: {{77, 7, 3}}}))
	taken := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Observe: true, Count: -1})
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.WriteTxnMarkers}, Err: kerr.ClusterAuthorizationFailed, Count: 1})
	if _, err := Open(t.Context(), k.config, k.topic); !errors.Is(err, kerr.ClusterAuthorizationFailed) || taken.Hits() > 0 {
		t.Errorf("without the right: %v; the transactional id was taken over %d times, want 0", err, taken.Hits())
	}
	k.open()
	if taken.Hits() != 1 {
		t.Errorf("with the right, the transactional id was taken over %d times", taken.Hits())
	}
}

// answerTransaction has the coordinator say what state the last transaction is in.
func answerTransaction(cluster *kfake.Cluster, producer int64, epoch int16, state string) {
	cluster.ControlKey(int16(kmsg.DescribeTransactions), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.DescribeTransactionsRequest)
		tx := kmsg.NewDescribeTransactionsResponseTransactionState()
		tx.TransactionalID, tx.State, tx.ProducerID, tx.ProducerEpoch = asked.TransactionalIDs[0], state, producer, epoch
		answer := asked.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		answer.TransactionStates = append(answer.TransactionStates, tx)
		return answer, nil, true
	})
}

// producerState is what a partition knows of a producer; open is where its open transaction begins, or -1.
type producerState struct {
	id    int64
	epoch int16
	open  int64
}

// ofEvents is for the partitions of the events' topic; the checkpoint's knows no producer.
func ofEvents(known map[int32][]producerState) func(string, int32) []producerState {
	return func(topic string, partition int32) []producerState {
		if topic != "events" {
			return nil
		}
		return known[partition]
	}
}

// answerProducers has the partitions say which producers they know.
func answerProducers(cluster *kfake.Cluster, known func(topic string, partition int32) []producerState) {
	cluster.ControlKey(int16(kmsg.DescribeProducers), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.DescribeProducersRequest)
		answer := asked.ResponseKind().(*kmsg.DescribeProducersResponse)
		for _, asked := range asked.Topics {
			topic := kmsg.NewDescribeProducersResponseTopic()
			topic.Topic = asked.Topic
			for _, n := range asked.Partitions {
				part := kmsg.NewDescribeProducersResponseTopicPartition()
				part.Partition = n
				for _, state := range known(asked.Topic, n) {
					p := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
					p.ProducerID, p.ProducerEpoch, p.CurrentTxnStartOffset = state.id, int32(state.epoch), state.open
					part.ActiveProducers = append(part.ActiveProducers, p)
				}
				topic.Partitions = append(topic.Partitions, part)
			}
			answer.Topics = append(answer.Topics, topic)
		}
		return answer, nil, true
	})
}
