package publish

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// target is a topic and its checkpoint topic.
type target struct {
	t      *testing.T
	config Config
	topic  Topic
	client *kgo.Client
}

// setup makes them on the shared broker.
func setup(t *testing.T) *target {
	t.Helper()
	brokers := testenv.Broker(t)
	return setupTopic(t, strings.Split(brokers, ","), testenv.Topic(t, brokers, topic.Partitions))
}

// setupFaulty makes them on a broker whose answers can be spoilt.
func setupFaulty(t *testing.T, opts ...kfake.Opt) (*target, *kfake.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(topic.Partitions, "events")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return setupTopic(t, cluster.ListenAddrs(), "events"), cluster
}

func setupTopic(t *testing.T, brokers []string, name string) *target {
	t.Helper()
	k := &target{t: t, client: connect(t, brokers), config: Config{
		Brokers: brokers, TransactionalID: testenv.Name(t), CheckpointTopic: checkpoint.Topic(name, "slot"), Source: "/orders",
		Topic: name, Layout: layout.Own(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	if err := checkpoint.EnsureTopic(t.Context(), k.client, k.config.CheckpointTopic, 1, "1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := kadm.NewClient(k.client).DeleteTopics(ctx, k.config.CheckpointTopic); err != nil {
			t.Error(err)
		}
	})
	k.inspect(name)
	return k
}

func connect(t *testing.T, brokers []string) *kgo.Client {
	t.Helper()
	client, err := Connect(brokers, kafka.Security{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// inspect looks at the topic until the broker tells of it: a new one is not known everywhere at once.
func (k *target) inspect(name string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	for {
		found, err := Inspect(ctx, k.client, name)
		if err == nil {
			k.topic = found
			return
		}
		if ctx.Err() != nil {
			k.t.Fatal(err)
		}
	}
}

// open makes a producer, which takes over from those before it.
func (k *target) open() *Producer {
	k.t.Helper()
	p, err := Open(k.t.Context(), k.config, k.topic)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(p.Close)
	return p
}

// checkpoint is one to commit, the n-th.
func (k *target) checkpoint(n int64) checkpoint.Record {
	return checkpoint.Record{
		Format: checkpoint.Format, Phase: checkpoint.Streaming, Slot: "slot", Cluster: k.topic.ClusterID,
		Topics: map[string]checkpoint.Ends{k.topic.Name: {ID: k.topic.ID, Last: make([]string, k.topic.Partitions)}}, Events: n,
	}
}

// rows are events, one for each partition in turn.
func (k *target) rows(partitions ...int) []outbox.Row {
	k.t.Helper()
	var rows []outbox.Row
	for _, want := range partitions {
		key := uuid.NewString()
		for k.topic.Partition([]byte(key)) != want {
			key = uuid.NewString()
		}
		rows = append(rows, outbox.Row{
			Seq: []byte("1"), ID: []byte(uuid.NewString()), AggregateType: []byte("order"), AggregateID: []byte(key),
			Type: []byte("order.ready.v1"), Version: []byte("1"), Payload: []byte("{}"), OccurredAt: []byte("2026-11-23 04:22:00+00"),
		})
	}
	return rows
}

var source = topic.Source{Commit: 7, Committed: time.Date(2026, 11, 23, 4, 22, 0, 0, time.UTC)}

// add begins a transaction of the rows.
func (k *target) add(p *Producer, rows []outbox.Row) {
	k.t.Helper()
	if err := p.Begin(); err != nil {
		k.t.Fatal(err)
	}
	for _, row := range rows {
		// The row's memory is the caller's again when Add returns.
		borrowed := row
		borrowed.Payload, borrowed.ID, borrowed.AggregateID = bytes.Clone(row.Payload), bytes.Clone(row.ID), bytes.Clone(row.AggregateID)
		if _, err := p.Add(k.t.Context(), borrowed, source); err != nil {
			k.t.Fatal(err)
		}
		for _, b := range [][]byte{borrowed.Payload, borrowed.ID, borrowed.AggregateID} {
			for i := range b {
				b[i] = 'x'
			}
		}
	}
}

// flush sends what was added and waits until the broker has acknowledged it; the transaction stays open.
func flush(ctx context.Context, p *Producer) error {
	p.sender.enqueue(p.tx, false, p.sealAll()...)
	return p.sender.wait(ctx, 0, 1)
}

// holds checks that the topic has these events and the checkpoint says so, after a new producer has ended whatever was
// open. For none, there must be no checkpoint either (I4).
func (k *target) holds(rows ...[]outbox.Row) {
	k.t.Helper()
	k.open().Close()
	want := make(map[string]int)
	for _, list := range rows {
		for _, row := range list {
			want[string(row.ID)]++
		}
	}
	got := k.committed()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		k.t.Errorf("the topic has %v, want %v", got, want)
	}
	cp, found, err := checkpoint.Read(k.t.Context(), k.client, k.config.CheckpointTopic)
	if err != nil || found != (len(rows) > 0) || cp.Events != int64(len(rows)) {
		k.t.Errorf("checkpoint %d, found %v, %v; want %d", cp.Events, found, err, len(rows))
	}
}

// committed counts the events of the topic by id.
func (k *target) committed() map[string]int {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	partitions, _, err := tail.Open(ctx, k.client, k.topic.Name)
	if err != nil {
		k.t.Fatal(err)
	}
	events := make(map[string]int)
	for _, p := range partitions {
		err := p.Scan(ctx, p.Start, func(r *kgo.Record) error {
			id, err := topic.ID(r)
			events[id]++
			return err
		})
		if err != nil {
			k.t.Fatal(err)
		}
	}
	return events
}

// latest asks a producer whether another one has taken over.
func (k *target) latest(p *Producer, want bool) {
	k.t.Helper()
	if got, err := p.Latest(k.t.Context()); got != want || err != nil {
		k.t.Errorf("the latest: %t, %v, want %t", got, err, want)
	}
}
