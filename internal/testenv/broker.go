package testenv

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Broker returns the addresses, separated by commas, of the broker that this binary's tests share.
func Broker(t testing.TB) string {
	t.Helper()
	start := fake
	if os.Getenv("BROKER") == "kafka" {
		start = realBroker
	}
	brokers, err := start()
	if err != nil {
		t.Fatalf("no broker for the tests: %v", err)
	}
	return brokers
}

// fake starts franz-go's in-process broker. It is for speed: it proves nothing about crashes.
var fake = sync.OnceValues(func() (string, error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		return "", err
	}
	shared.add(func(context.Context) error { cluster.Close(); return nil })
	return strings.Join(cluster.ListenAddrs(), ","), nil
})

// Topic makes a topic with a name of its own, and with as many replicas as the brokers give one by themselves, and deletes it at the
// end of the test.
func Topic(t testing.TB, brokers string, partitions int32) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(client)
	name := Name(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, err := admin.CreateTopic(ctx, partitions, -1, nil, name)
		if err == nil {
			break
		}
		// A broker that has just started answers clients before the controller has put it among those that take replicas.
		if !errors.Is(err, kerr.InvalidReplicationFactor) || ops.Sleep(ctx, 100*time.Millisecond) != nil {
			t.Fatalf("create topic %s: %v", name, err)
		}
	}
	AwaitTopic(t, client, name)
	t.Cleanup(func() {
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := admin.DeleteTopics(ctx, name); err != nil {
			t.Logf("delete topic %s: %v", name, err) // its broker may have been killed by the test
		}
	})
	return name
}

// AwaitTopic waits until the brokers know a topic that was just made: they learn of it after the one that made it has
// answered.
func AwaitTopic(t testing.TB, client *kgo.Client, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(client)
	for {
		topics, err := admin.ListTopics(ctx, name)
		if err == nil && topics[name].Err == nil {
			return
		}
		if err != nil {
			t.Fatalf("topic %s: %v", name, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("topic %s was made and is not known: %v", name, topics[name].Err)
		}
	}
}
