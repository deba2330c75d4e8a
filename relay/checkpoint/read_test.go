package checkpoint

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// kafka is a broker, a topic that is not made yet, and who writes to it.
type kafka struct {
	t      *testing.T
	client *kgo.Client
	topic  string
}

func setup(t *testing.T) *kafka {
	t.Helper()
	k := &kafka{t: t, topic: Topic(testenv.Name(t), "slot")}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(testenv.Broker(t), ",")...), kgo.DefaultProduceTopic(k.topic),
		kgo.TransactionalID(testenv.Name(t)), kgo.MetadataMinAge(10*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	k.client = client
	t.Cleanup(func() {
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := kadm.NewClient(client).DeleteTopics(ctx, k.topic); err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *kafka) make(partitions int32, policy string) {
	k.t.Helper()
	_, err := kadm.NewClient(k.client).CreateTopic(k.t.Context(), partitions, 1, map[string]*string{"cleanup.policy": &policy}, k.topic)
	if err != nil {
		k.t.Fatal(err)
	}
	testenv.AwaitTopic(k.t, k.client, k.topic)
}

func (k *kafka) ensure() error { return EnsureTopic(k.t.Context(), k.client, k.topic, 1, "1") }

// write ends a transaction with the values, each after some other records.
func (k *kafka) write(how kgo.TransactionEndTry, values ...[]byte) {
	k.t.Helper()
	if err := k.client.BeginTransaction(); err != nil {
		k.t.Fatal(err)
	}
	for _, v := range values {
		if err := k.client.ProduceSync(k.t.Context(), &kgo.Record{Key: []byte("slot"), Value: v}).FirstErr(); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := k.client.EndTransaction(k.t.Context(), how); err != nil {
		k.t.Fatal(err)
	}
}

func encoded(t *testing.T, events int64) (Record, []byte) {
	t.Helper()
	r := exampleRecord()
	r.Events = events
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return r, b
}

func TestNameOfTheTopicIsOfTopicAndSlot(t *testing.T) {
	t.Parallel()
	if got := Topic("food-orders", "food_orders"); got != "food-orders.checkpoint.food_orders" {
		t.Errorf("got %s", got)
	}
}

func TestTopicIsMadeOnceAndKeepsTheLastCheckpoint(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if err := k.ensure(); err != nil {
		t.Fatal(err)
	}
	if r, found, err := Read(t.Context(), k.client, k.topic); found || err != nil {
		t.Errorf("in an empty topic: %+v, %v", r, err)
	}
	want, b := encoded(t, 1)
	k.write(kgo.TryCommit, b)
	if err := k.ensure(); err != nil {
		t.Errorf("when it is there: %v", err)
	}
	got, found, err := Read(t.Context(), k.client, k.topic)
	if diff := cmp.Diff(got, want); diff != "" || !found || err != nil {
		t.Errorf("found %v, %v (-got +want):\n%s", found, err, diff)
	}
	configs, err := kadm.NewClient(k.client).DescribeTopicConfigs(t.Context(), k.topic)
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]string)
	for _, c := range configs[0].Configs {
		have[c.Key] = c.MaybeValue()
	}
	for name, want := range settings {
		if have[name] != *want {
			t.Errorf("%s is %q, want %q", name, have[name], *want)
		}
	}
}

func TestLastCommittedCheckpointIsRead(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if err := k.ensure(); err != nil {
		t.Fatal(err)
	}
	want, b := encoded(t, 1)
	_, aborted := encoded(t, 2)
	k.write(kgo.TryCommit, b)
	for range 70 { // more than a first look backwards reaches
		k.write(kgo.TryAbort, aborted)
	}
	got, found, err := Read(t.Context(), k.client, k.topic)
	if diff := cmp.Diff(got, want); diff != "" || !found || err != nil {
		t.Errorf("found %v, %v (-got +want):\n%s", found, err, diff)
	}
}

func TestTopicThatMayLoseTheCheckpointIsRefused(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"delete", "compact,delete"} {
		k := setup(t)
		k.make(1, policy)
		if err := k.ensure(); err == nil || !strings.Contains(err.Error(), "set it to compact") {
			t.Errorf("%s: got %v", policy, err)
		}
	}
}

func TestTopicOfTwoPartitionsIsRefused(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.make(2, "compact")
	if _, _, err := Read(t.Context(), k.client, k.topic); err == nil || !strings.Contains(err.Error(), "2 partitions, want 1") {
		t.Errorf("got %v", err)
	}
}

func TestRecordThatCannotBeReadIsAnErrorWithItsPlaceNotNoCheckpoint(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if err := k.ensure(); err != nil {
		t.Fatal(err)
	}
	_, b := encoded(t, 1)
	for i, value := range [][]byte{[]byte("x"), {}, []byte(`{"format":9}`), b[:len(b)-1]} {
		k.write(kgo.TryCommit, b, value)
		r, found, err := Read(t.Context(), k.client, k.topic)
		if found || err == nil || !strings.Contains(err.Error(), "offset") {
			t.Errorf("value %d: got %+v, %v, %v", i, r, found, err)
		}
	}
}

// TestPeekWaitsForNobody has a transaction open, which holds back whoever wants to know the last checkpoint for sure.
func TestPeekWaitsForNobody(t *testing.T) {
	t.Parallel()
	k := setup(t)
	if r, found, err := Peek(t.Context(), k.client, k.topic); found || err != nil {
		t.Errorf("without a topic: %+v, %v", r, err)
	}
	if err := k.ensure(); err != nil {
		t.Fatal(err)
	}
	want, b := encoded(t, 1)
	_, open := encoded(t, 2)
	k.write(kgo.TryCommit, b)
	if err := k.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := k.client.ProduceSync(t.Context(), &kgo.Record{Key: []byte("slot"), Value: open}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	got, found, err := Peek(t.Context(), k.client, k.topic)
	if diff := cmp.Diff(got, want); diff != "" || !found || err != nil {
		t.Errorf("found %v, %v (-got +want):\n%s", found, err, diff)
	}
	if err := k.client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}
