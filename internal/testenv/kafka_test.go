package testenv

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
)

// TestRealBrokerKeepsWhatItAcknowledgedOverAKill is the contract of both kinds of broker.
func TestRealBrokerKeepsWhatItAcknowledgedOverKillAndStop(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		name  string
		had   func(context.Context) error // why there can be none
		start func(context.Context) (killable, error)
	}{
		{"jars", func(context.Context) error { return kafkaserver.Available() }, startJars},
		{"container", func(ctx context.Context) error { _, err := docker(ctx); return err }, startContainerBroker},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			if err := kind.had(t.Context()); err != nil {
				t.Skipf("%v (start a Docker engine, or run make kafka)", err)
			}
			broker, err := kind.start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			k := &KafkaServer{t: t, broker: broker}
			t.Cleanup(func() {
				if err := broker.close(context.Background()); err != nil {
					t.Error(err)
				}
			})
			address, topic := k.Address(), Topic(t, k.Address(), 1)
			produce(t, address, topic, "kept")
			for how, end := range map[string]func(){"kill": k.Kill, "stop": k.Stop} {
				end()
				k.Start()
				if k.Address() != address {
					t.Errorf("address %s after %s, was %s", k.Address(), how, address)
				}
				if got := consume(t, address, topic); got != "kept" {
					t.Errorf("got %q after %s, want %q", got, how, "kept")
				}
			}
		})
	}
}

func TestContainerOfPostgresDecodesLogically(t *testing.T) {
	t.Parallel()
	if _, err := docker(t.Context()); err != nil {
		t.Skipf("%v (start a Docker engine)", err)
	}
	url, err := dockerPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // read only
	var level string
	if err := conn.QueryRow(t.Context(), "SHOW wal_level").Scan(&level); err != nil || level != "logical" {
		t.Errorf("got wal_level %q, %v; want logical", level, err)
	}
}

func produce(t *testing.T, address, topic, value string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func consume(t *testing.T, address, topic string) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for t.Context().Err() == nil {
		for _, r := range client.PollFetches(t.Context()).Records() {
			return string(r.Value)
		}
	}
	return ""
}
