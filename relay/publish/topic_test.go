package publish

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

func TestInspectTellsWhichTopicItIs(t *testing.T) {
	t.Parallel()
	k := setup(t)
	meta, err := kadm.NewClient(k.client).Metadata(t.Context(), k.topic.Name)
	if err != nil {
		t.Fatal(err)
	}
	want := Topic{
		Name: k.topic.Name, ID: uuid.UUID(meta.Topics[k.topic.Name].ID).String(), ClusterID: meta.Cluster,
		Partitions: topic.Partitions, Replicas: 1, MaxMessageBytes: 1_048_588, MinISR: "1", Kept: 7 * 24 * time.Hour,
	}
	if diff := cmp.Diff(k.topic, want); diff != "" || want.ClusterID == "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestTopicThatIsMissingIsRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	client := connect(t, strings.Split(testenv.Broker(t), ","))
	_, err := Inspect(t.Context(), client, testenv.Name(t))
	if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "foodctl topics") {
		t.Errorf("got %v", err)
	}
}

func TestTopicThatDropsEventsIsRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"compact", "compact,delete"} {
		k := setup(t)
		alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &policy}}
		answers, err := kadm.NewClient(k.client).AlterTopicConfigs(t.Context(), alter, k.topic.Name)
		if err == nil {
			err = answers[0].Err
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for err = nil; err == nil; { // the broker takes its time
			_, err = Inspect(ctx, k.client, k.topic.Name)
		}
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "set it to delete") {
			t.Errorf("%s: got %v", policy, err)
		}
	}
}

func TestBrokersOfAnOlderTransactionProtocolAreRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(kversion.V3_7_0()), kfake.SeedTopics(3, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	_, err = Inspect(t.Context(), connect(t, cluster.ListenAddrs()), "events")
	if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "transaction.version=2") {
		t.Errorf("got %v", err)
	}
}

func TestLastEventsAreNoneInAnEmptyTopic(t *testing.T) {
	t.Parallel()
	k := setup(t)
	last, err := LastEvents(t.Context(), k.client, k.topic.Name)
	if diff := cmp.Diff(last, []string{"", "", ""}); diff != "" || err != nil {
		t.Errorf("%v (-got +want):\n%s", err, diff)
	}
}

func TestRecordOfAnotherAtTheEndOfTheTopicIsAnError(t *testing.T) {
	t.Parallel()
	k := setup(t)
	foreign := connect(t, k.config.Brokers)
	if err := foreign.ProduceSync(t.Context(), &kgo.Record{Topic: k.topic.Name, Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if last, err := LastEvents(t.Context(), k.client, k.topic.Name); !errors.Is(err, topic.ErrMalformed) {
		t.Errorf("got %q, %v", last, err)
	}
}

func TestBrokersThatAreNoneAreAnError(t *testing.T) {
	t.Parallel()
	if client, err := Connect([]string{"not an address:"}, kafka.Security{}, slog.New(slog.DiscardHandler)); err == nil {
		client.Close()
		t.Error("connected")
	}
}
