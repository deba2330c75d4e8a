package kafkaserver_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBrokerHasWhatThePipelineNeedsAndKeepsItsIdentity(t *testing.T) {
	t.Parallel()
	if err := kafkaserver.Available(); err != nil {
		t.Skip(err)
	}
	c := kafkaserver.Config{Dir: t.TempDir()}
	s := start(t, c)
	first := metadata(t, s.Address())
	if got := transactionVersion(t, s.Address()); got != 2 {
		t.Errorf("transaction.version %d is finalised, want 2", got)
	}
	c.Port = s.Port()
	other := kafkaserver.Config{Dir: t.TempDir(), Port: s.Port()}
	if _, err := kafkaserver.Start(t.Context(), other); err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("a second broker on the port: got %v, want that the address is in use", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if again := metadata(t, start(t, c).Address()); again != first {
		t.Errorf("the cluster is %s after a restart, was %s", again, first)
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := kafkaserver.Ready(ctx, "127.0.0.1:1", kafkaserver.ClusterID()); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v, want context canceled", err)
	}
}

func start(t *testing.T, c kafkaserver.Config) *kafkaserver.Server {
	t.Helper()
	s, err := kafkaserver.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// metadata returns the id of the cluster.
func metadata(t *testing.T, address string) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m, err := kadm.NewClient(client).BrokerMetadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m.Cluster
}

func transactionVersion(t *testing.T, address string) int16 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	brokers, err := kadm.NewClient(client).ApiVersions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range brokers {
		for _, f := range b.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" {
				return f.MaxVersionLevel
			}
		}
	}
	return 0
}
