package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
)

// realBroker returns the addresses of an Apache Kafka that this binary's tests share.
var realBroker = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("KAFKA_BROKERS"); given != "" {
		return given, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	k, err := startReal(ctx, startContainerBroker, startJars)
	if err != nil {
		return "", err
	}
	shared.add(k.close)
	return k.address(), nil
})

// KafkaServer is a real Apache Kafka broker that belongs to one test, which may kill it.
type KafkaServer struct {
	t      testing.TB
	broker killable
}

// killable is a broker of either kind: from jars or in a container.
type killable interface {
	address() string
	kill(ctx context.Context) error
	stop(ctx context.Context) error  // in an orderly way
	start(ctx context.Context) error // again, on the data that kill left
	close(ctx context.Context) error // and its data are gone
}

// Kafka starts a broker, which ends with the test. Where none can be had the test is skipped, or fails if BROKER=kafka
// promises one.
func Kafka(t testing.TB) *KafkaServer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	k, err := startReal(ctx, startJars, startContainerBroker)
	had(t, err)
	return owned(t, k)
}

// KafkaOn starts a broker from the jars whose files are on a volume, with these properties of the broker's besides, and
// ends it with the test. Where it cannot be had the test is skipped, or fails if BROKER=kafka promises one.
func KafkaOn(t testing.TB, v *Volume, properties map[string]string) *KafkaServer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	k, err := startReal(ctx, func(ctx context.Context) (killable, error) {
		return startJarsWith(ctx, kafkaserver.Config{Dir: filepath.Join(v.Dir(), "kafka"), Properties: properties},
			func() error { return nil }) // the volume's end is the files'
	})
	had(t, err)
	return owned(t, k)
}

// owned ends a broker with its test.
func owned(t testing.TB, k killable) *KafkaServer {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := k.close(ctx); err != nil {
			t.Error(err)
		}
	})
	return &KafkaServer{t: t, broker: k}
}

// RealBroker returns the addresses of an Apache Kafka that this binary's tests share, whatever BROKER says. Where none can
// be had the test is skipped, or fails if BROKER=kafka promises one.
func RealBroker(t testing.TB) string {
	t.Helper()
	brokers, err := realBroker()
	had(t, err)
	return brokers
}

// had ends the test if the real Kafka that it needs could not be had.
func had(t testing.TB, err error) {
	t.Helper()
	if err != nil && os.Getenv("BROKER") == "kafka" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
}

// Address is what clients connect to. It stays the same over Kill and Start.
func (k *KafkaServer) Address() string { return k.broker.address() }

// Kill ends the broker with SIGKILL and waits until it is gone.
func (k *KafkaServer) Kill() {
	k.t.Helper()
	if err := k.broker.kill(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// Stop shuts the broker down as an operator would and waits, a minute at most, until it is gone.
func (k *KafkaServer) Stop() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	if err := k.broker.stop(ctx); err != nil {
		k.t.Fatal(err)
	}
}

// Start starts a killed or stopped broker on its data and waits until clients can use it.
func (k *KafkaServer) Start() {
	k.t.Helper()
	if err := k.broker.start(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// startReal takes the first kind of broker that can be had.
func startReal(ctx context.Context, kinds ...func(context.Context) (killable, error)) (killable, error) {
	var all error
	for _, start := range kinds {
		k, err := start(ctx)
		if err == nil {
			return k, nil
		}
		all = errors.Join(all, err)
	}
	return nil, fmt.Errorf("no real Apache Kafka: run `make kafka` once (it takes Maven and Java), start a Docker engine, "+
		"or set KAFKA_BROKERS: %w", all)
}

func startContainerBroker(ctx context.Context) (killable, error) { return startContainer(ctx) }

// jars is a broker from the jars, in a directory of its own.
type jars struct {
	config kafkaserver.Config
	server *kafkaserver.Server
	remove func() error
}

func startJars(ctx context.Context) (killable, error) {
	if err := kafkaserver.Available(); err != nil {
		return nil, err
	}
	dir, remove, err := scratch()
	if err != nil {
		return nil, err
	}
	return startJarsWith(ctx, kafkaserver.Config{Dir: dir}, remove)
}

func startJarsWith(ctx context.Context, config kafkaserver.Config, remove func() error) (killable, error) {
	j := &jars{config: config, remove: remove}
	if err := j.start(ctx); err != nil {
		return nil, errors.Join(err, remove())
	}
	j.config.Port = j.server.Port()
	return j, nil
}

func (j *jars) address() string { return j.server.Address() }

func (j *jars) kill(context.Context) error { return j.server.Kill() }

func (j *jars) stop(ctx context.Context) error { return j.server.Stop(ctx) }

func (j *jars) start(ctx context.Context) (err error) {
	s, err := kafkaserver.Start(ctx, j.config)
	if err == nil {
		j.server = s
	}
	return err
}

func (j *jars) close(context.Context) error { return errors.Join(j.server.Kill(), j.remove()) }
