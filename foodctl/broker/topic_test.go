package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestEnsureMakesTheTopicOnce(t *testing.T) {
	t.Parallel()
	client, err := broker.Connect(t.Context(), testenv.Broker(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	name := testenv.Name(t)
	first, err := broker.Ensure(t.Context(), client, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := broker.Ensure(t.Context(), client, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Created || second.Created || first.ID != second.ID {
		t.Errorf("first %+v, second %+v: want one topic, made by the first", first, second)
	}
}

// TestEnsureWaitsForTheBrokersOfItsReplicas has a cluster of one broker, which another joins later.
func TestEnsureWaitsForTheBrokersOfItsReplicas(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	refused := make(chan struct{}, 1)
	cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, asked := range req.(*kmsg.CreateTopicsRequest).Topics {
			if asked.ReplicationFactor != 2 {
				t.Errorf("replication factor %d was asked for, want 2", asked.ReplicationFactor)
			}
			answer := kmsg.NewCreateTopicsResponseTopic()
			answer.Topic, answer.ErrorCode = asked.Topic, kerr.InvalidReplicationFactor.Code
			resp.Topics = append(resp.Topics, answer)
		}
		refused <- struct{}{}
		return resp, nil, true
	})
	client, err := broker.Connect(t.Context(), strings.Join(cluster.ListenAddrs(), ","))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	made := make(chan error, 1)
	go func() {
		_, err := broker.Ensure(ctx, client, "late", 2)
		made <- err
	}()
	<-refused
	if _, _, err := cluster.AddNode(-1, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

func TestATopicThatLosesEventsIsRefused(t *testing.T) {
	t.Parallel()
	client, err := broker.Connect(t.Context(), testenv.Broker(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	name := testenv.Name(t)
	compact := "compact"
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 5, 1, map[string]*string{"cleanup.policy": &compact}, name); err != nil {
		t.Fatal(err)
	}
	_, err = broker.Ensure(t.Context(), client, name, 0)
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{"5 partitions", "cleanup.policy=compact", "retention.ms=", "--add-config retention.ms=-1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q: want it to name %q", err, want)
		}
	}
}

func TestAbortedTransactionsAreCounted(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	name := testenv.Topic(t, brokers, 3)
	client, err := broker.Connect(t.Context(), brokers, kgo.TransactionalID(testenv.Name(t)), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, tx := range []struct {
		partitions []int32 // of the records
		end        kgo.TransactionEndTry
	}{
		{[]int32{0, 1, 2}, kgo.TryCommit},
		{[]int32{0, 0, 1}, kgo.TryAbort},
		{[]int32{2}, kgo.TryAbort},
		{[]int32{0}, kgo.TryCommit},
		{[]int32{1}, kgo.TryCommit},
	} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, p := range tx.partitions {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: name, Partition: p, Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(t.Context(), tx.end); err != nil {
			t.Fatal(err)
		}
	}
	got, err := broker.CountAborted(t.Context(), brokers, name)
	if err != nil {
		t.Fatal(err)
	}
	if want := (broker.Aborted{Transactions: 2, Records: 4}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
