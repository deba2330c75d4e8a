package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	dockerapi "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
	"go.uber.org/goleak"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// dockerUsed is set when a container was started: its reaper's connection then lives as long as the test binary.
var dockerUsed atomic.Bool

func leaksOfDocker() []goleak.Option {
	if !dockerUsed.Load() {
		return nil
	}
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/testcontainers/testcontainers-go.(*Reaper).connect.func1"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	}
}

// docker returns the host under which containers' ports can be reached, or an error if no engine answers.
func docker(ctx context.Context) (host string, err error) {
	defer func() {
		if r := recover(); r != nil { // testcontainers panics where it finds no engine's address
			err = fmt.Errorf("no Docker engine: %v", r)
		}
	}()
	tclog.SetDefault(silent)
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(silent))
	if err != nil {
		return "", err
	}
	defer provider.Close() //nolint:errcheck // it was only asked
	if err := provider.Health(ctx); err != nil {
		return "", err
	}
	return provider.DaemonHost(ctx)
}

var silent = stdlog.New(io.Discard, "", 0)

// container starts a container, which goes with this test binary at the latest.
func container(ctx context.Context, image string, options ...testcontainers.ContainerCustomizer) (*testcontainers.DockerContainer, error) {
	progress("starting a container of " + image)
	dockerUsed.Store(true)
	c, err := testcontainers.Run(ctx, image, append(options, testcontainers.WithLogger(silent))...)
	if err != nil && c != nil {
		err = errors.Join(err, c.Terminate(context.WithoutCancel(ctx)))
	}
	return c, err
}

func dockerPostgres(ctx context.Context) (string, error) {
	if _, err := docker(ctx); err != nil {
		return "", err
	}
	version := os.Getenv("PG_VERSION")
	if version == "" {
		version = pgserver.DefaultVersion
	}
	command := []string{"postgres"}
	for name, value := range settings {
		command = append(command, "-c", name+"="+value)
	}
	c, err := container(ctx, "postgres:"+version,
		testcontainers.WithExposedPorts("5432/tcp"),
		testcontainers.WithEnv(map[string]string{"POSTGRES_PASSWORD": "postgres"}),
		testcontainers.WithCmd(command...),
		// The first start is for initialisation and only on a socket; the second is the one.
		testcontainers.WithWaitStrategyAndDeadline(2*time.Minute,
			wait.ForLog("database system is ready to accept connections").WithOccurrence(2),
			wait.ForListeningPort("5432/tcp")))
	if err != nil {
		return "", err
	}
	shared.add(func(ctx context.Context) error { return c.Terminate(ctx) })
	address, err := c.PortEndpoint(ctx, "5432/tcp", "")
	return "postgres://postgres:postgres@" + address + "/postgres?sslmode=disable", err
}

const kafkaImage = "apache/kafka:" + kafkaserver.Version

// kafkaContainer is a broker in a container. Its data live in the container, and so over kill and start.
type kafkaContainer struct {
	*testcontainers.DockerContainer
	addr    string
	cluster string // its id
}

// startContainer runs a broker on a port of the host that is chosen before: it is part of the address that the broker
// gives to clients, and has to stay when the container is killed and started.
func startContainer(ctx context.Context) (*kafkaContainer, error) {
	host, err := docker(ctx)
	if err != nil {
		return nil, err
	}
	free, err := ports.Free()
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(free)
	addr, cluster := net.JoinHostPort(host, port), kafkaserver.ClusterID()
	c, err := container(ctx, kafkaImage,
		testcontainers.WithExposedPorts("9092/tcp"),
		testcontainers.WithHostConfigModifier(func(h *dockerapi.HostConfig) {
			h.PortBindings = network.PortMap{network.MustParsePort("9092/tcp"): {{HostPort: port}}}
		}),
		testcontainers.WithEnv(containerProperties(addr, cluster)))
	if err != nil {
		return nil, err
	}
	k := &kafkaContainer{DockerContainer: c, addr: addr, cluster: cluster}
	if err := k.ready(ctx); err != nil {
		return nil, errors.Join(err, k.close(context.WithoutCancel(ctx)))
	}
	return k, nil
}

// containerProperties are the broker's properties as the image takes them. See package kafkaserver for the reasons.
func containerProperties(addr, cluster string) map[string]string {
	return map[string]string{
		"CLUSTER_ID":                                             cluster,
		"KAFKA_NODE_ID":                                          "1",
		"KAFKA_PROCESS_ROLES":                                    "broker,controller",
		"KAFKA_CONTROLLER_QUORUM_VOTERS":                         "1@localhost:9093",
		"KAFKA_CONTROLLER_LISTENER_NAMES":                        "CONTROLLER",
		"KAFKA_LISTENERS":                                        "OUTSIDE://:9092,CONTROLLER://:9093,INSIDE://:9094",
		"KAFKA_ADVERTISED_LISTENERS":                             "OUTSIDE://" + addr + ",INSIDE://localhost:9094",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":                   "OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT",
		"KAFKA_INTER_BROKER_LISTENER_NAME":                       "INSIDE",
		"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                        "false",
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":                 "1",
		"KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS":                     "5",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR":         "1",
		"KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS":             "5",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":                    "1",
		"KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
		"KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR":            "1",
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":                 "0",
		"KAFKA_ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MS":           "1",
		"KAFKA_BROKER_SESSION_TIMEOUT_MS":                        "3000",
		"KAFKA_BROKER_HEARTBEAT_INTERVAL_MS":                     "500",
		"KAFKA_HEAP_OPTS":                                        "-Xmx512m",
	}
}

func (k *kafkaContainer) address() string { return k.addr }

func (k *kafkaContainer) start(ctx context.Context) error {
	if err := k.Start(ctx); err != nil {
		return err
	}
	return k.ready(ctx)
}

func (k *kafkaContainer) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := k.gone(ctx); err == nil {
			fail(fmt.Errorf("the container of %s ended by itself", kafkaImage))
		}
	}()
	err := kafkaserver.Ready(ctx, k.addr, k.cluster)
	fail(nil)
	<-watched
	return err
}

func (k *kafkaContainer) kill(ctx context.Context) error {
	engine, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer engine.Close() //nolint:errcheck // the call that it served counts
	if _, err = engine.ContainerKill(ctx, k.GetContainerID(), client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return err
	}
	return k.gone(ctx)
}

// stop has the engine send SIGTERM, and SIGKILL if that is not enough.
func (k *kafkaContainer) stop(ctx context.Context) error {
	patience := 30 * time.Second
	if err := k.Stop(ctx, &patience); err != nil {
		return err
	}
	return k.gone(ctx)
}

// gone waits until the container does not run.
func (k *kafkaContainer) gone(ctx context.Context) error {
	engine, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer engine.Close() //nolint:errcheck // the call that it served counts
	gone := engine.ContainerWait(ctx, k.GetContainerID(), client.ContainerWaitOptions{Condition: "not-running"})
	select {
	case <-gone.Result:
		return nil
	case err := <-gone.Error:
		return err
	}
}

func (k *kafkaContainer) close(ctx context.Context) error { return k.Terminate(ctx) }
