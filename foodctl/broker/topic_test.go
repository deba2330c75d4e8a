package broker_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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
	first, err := broker.Ensure(t.Context(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	second, err := broker.Ensure(t.Context(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Created || second.Created || first.ID != second.ID {
		t.Errorf("first %+v, second %+v: want one topic, made by the first", first, second)
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
	_, err = broker.Ensure(t.Context(), client, name)
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
