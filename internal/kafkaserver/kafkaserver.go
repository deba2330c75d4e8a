// Package kafkaserver runs real Apache Kafka brokers on the loopback interface without Docker: in KRaft mode, from jars that
// Fetch downloads with Maven, on the host's Java (17 or newer).
//
// It promises that the broker does not outlive this process (on Linux, however this process ends), and that Start goes on
// with what a stopped or killed broker left. It is for tests and trials: there are no replicas, so an acknowledged record
// is as safe as this host's memory.
package kafkaserver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// Config says which broker to run. Only Dir is required.
type Config struct {
	Dir        string            // holds the broker's data and log; made if missing
	Port       int               // on 127.0.0.1; 0 picks a free one
	Properties map[string]string // the broker's, over those that this package sets
	Join       *Server           // the first broker of the cluster, and its controller; nil for a cluster of its own
	Node       int               // its number in the cluster of Join, 2 or more
}

// Server is a running or stopped broker.
type Server struct {
	process    *child.Process
	port       int
	controller int    // the port of the cluster's controller
	cluster    string // its id
}

const startTimeout = 90 * time.Second // a busy machine takes 15 s

// Start formats the directory if it is new, starts the broker and waits until clients can use it. ctx bounds the start
// only.
func Start(ctx context.Context, c Config) (*Server, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	jars, err := Jars()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s, err := start(ctx, c, jars)
	if err != nil {
		return nil, fmt.Errorf("start Kafka in %s: %w", c.Dir, err)
	}
	return s, nil
}

func start(ctx context.Context, c Config, jars string) (*Server, error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	s := new(Server)
	var err error
	if c.Join != nil {
		s.controller, s.cluster = c.Join.controller, c.Join.cluster
	} else if s.controller, err = ports.Free(); err != nil {
		return nil, err
	}
	if c.Port == 0 {
		if c.Port, err = ports.Free(); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(c.Dir, "server.properties")
	s.port = c.Port
	if err := os.WriteFile(config, properties(c, s.controller), 0o600); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dataDir(c.Dir), "meta.properties")); errors.Is(err, os.ErrNotExist) {
		if err := format(ctx, jars, config, cmp.Or(s.cluster, ClusterID())); err != nil {
			return nil, err
		}
	}
	if s.cluster, err = readClusterID(c.Dir); err != nil {
		return nil, err
	}
	broker := java(context.WithoutCancel(ctx), jars, "-Xms256m", "-Xmx512m", "kafka.Kafka", config)
	return s, s.run(ctx, filepath.Join(c.Dir, "kafka.log"), broker)
}

func (s *Server) run(ctx context.Context, path string, cmd *exec.Cmd) error {
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if s.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		said, _ := os.ReadFile(path) // nothing more to say without it
		return errors.Join(fmt.Errorf("%w; the end of %s:\n%s", err, path, tail(said)), s.process.Kill())
	}
	return nil
}

// format gives a new data directory its identity and the newest features, transactions of version 2 among them.
func format(ctx context.Context, jars, config, cluster string) error {
	cmd := java(ctx, jars, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "--config="+config,
		"--cluster-id="+cluster)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format: %w\n%s", err, tail(out))
	}
	return nil
}

// ClusterID is a random id in Kafka's form, which does not begin with a dash, so that no program takes it for an option.
func ClusterID() string {
	for {
		id := uuid.New()
		if text := base64.RawURLEncoding.EncodeToString(id[:]); text[0] != '-' {
			return text
		}
	}
}

// readClusterID reads what format wrote.
func readClusterID(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dataDir(dir), "meta.properties"))
	for line := range strings.Lines(string(b)) {
		if id, found := strings.CutPrefix(line, "cluster.id="); found {
			return strings.TrimSpace(id), nil
		}
	}
	return "", errors.Join(errors.New("no cluster id in meta.properties"), err)
}

// java is a command that ends with ctx; a caller for whom it should not passes one that never ends.
func java(ctx context.Context, jars string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, javaProgram(), append([]string{"-cp", filepath.Join(jars, "*")}, args...)...)
}

func javaProgram() string {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return filepath.Join(home, "bin", "java")
	}
	return "java"
}

// ready waits until clients can use the broker.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-s.Done():
			cancel(errors.New("the broker ended"))
		case <-stop:
		}
	}()
	return Ready(ctx, s.Address(), s.cluster)
}

// Ready waits until the broker at the address is one of the cluster and has left its fence, the state in which it catches
// up with the cluster's metadata: clients see no broker before. It returns the cause of ctx when that ends first.
//
// The cluster's id is asked for because another broker may hold the port.
func Ready(ctx context.Context, address, cluster string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RetryTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		m, err := admin.BrokerMetadata(ctx)
		if err == nil && len(m.Brokers) > 0 && m.Cluster == cluster {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}

// Address is what clients connect to.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Port is the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// PID is the process id.
func (s *Server) PID() int { return s.process.PID() }

// Done is closed when the broker is gone.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Kill ends the broker with SIGKILL and waits until it is gone.
func (s *Server) Kill() error { return s.process.Kill() }

// Stop shuts the broker down, and kills it when ctx ends first.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop Kafka: %w", err)
	}
	select {
	case <-s.Done():
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop Kafka: %w", ctx.Err()), s.process.Kill())
	}
}

func dataDir(dir string) string { return filepath.Join(dir, "data") }

func tail(b []byte) []byte {
	const most = 2000
	return bytes.TrimSpace(b[max(0, len(b)-most):])
}
