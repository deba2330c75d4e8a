package app

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
)

// cli is the command line. Every flag has an environment variable; a flag wins.
type cli struct {
	Run         runCommand         `cmd:"" default:"withargs" help:"Consume the topic into the read model (the default command)."`
	Letters     lettersCommand     `cmd:"" help:"Look at dead letters, the events that could not be applied and those behind them; redrive or discard them."`
	Rebuild     rebuildCommand     `cmd:"" help:"Make the read model anew beside the live one and cut over to it, without a pause; or go back."`
	Serve       serveCommand       `cmd:"" help:"Answer questions about the read model over HTTP, and tell of its changes. It needs no Kafka." set:"listen_env=QUERY_LISTEN"`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a running projector whether it is live or ready; exit 0 if it is."`
}

type runCommand struct {
	ops.Flags         `embed:""`
	ops.DatabaseFlags `embed:""`
	kafka.Security    `embed:""`

	DatabaseURL    string        `help:"The readmodel database." env:"READMODEL_DATABASE_URL" required:"" placeholder:"URL"`
	Brokers        []string      `help:"Kafka brokers, separated by commas." env:"KAFKA_BROKERS" required:"" placeholder:"HOST:PORT,..."`
	Topic          string        `help:"Topic of the events (${default})." env:"TOPIC" default:"food-orders"`
	Group          string        `help:"Consumer group (${default}). It decides who reads which partition; the position is in the database." env:"PROJECTOR_GROUP" default:"food-orders-projector"`
	Members        int           `help:"Group members in this process (${default}). More processes may share the group." env:"MEMBERS" default:"1"`
	Instance       string        `help:"Name of this process that stays the same over restarts and that no other has: after a restart it has its partitions back at once." env:"PROJECTOR_INSTANCE" placeholder:"NAME"`
	SessionTimeout time.Duration `help:"Time until the partitions of a dead member move to others (${default})." env:"PROJECTOR_SESSION_TIMEOUT" default:"10s"`
	MaxBatch       int           `help:"Events in one transaction at most (${default})." env:"PROJECTOR_MAX_BATCH" default:"1000"`
	MaxBlocked     int           `help:"Orders with dead letters in a partition at most (${default}); above, the partition stops." env:"PROJECTOR_MAX_BLOCKED" default:"100"`
}

// Validate is called by kong.
func (c *runCommand) Validate() error {
	switch {
	case c.Members < 1 || c.Members > 64:
		return fmt.Errorf("--members is %d: want 1 to 64; more than the topic has partitions only stand by", c.Members)
	case c.MaxBatch < 1 || c.MaxBatch > 50_000:
		return fmt.Errorf("--max-batch is %d: want 1 to 50000", c.MaxBatch)
	case c.MaxBlocked < 0:
		return fmt.Errorf("--max-blocked is %d: want 0, to stop at the first event that cannot be applied, or more", c.MaxBlocked)
	case c.SessionTimeout < 6*time.Second || c.SessionTimeout > 30*time.Minute:
		return fmt.Errorf("--session-timeout is %v: brokers take 6s to 30m unless told otherwise", c.SessionTimeout)
	case c.Topic == "" || c.Group == "":
		return errors.New("--topic and --group must not be empty")
	}
	for _, b := range c.Brokers {
		if !strings.Contains(b, ":") {
			return fmt.Errorf("--brokers: %q: want HOST:PORT", b)
		}
	}
	return c.Check()
}

func (c *runCommand) consumer() consumer.Config {
	owner := process()
	if c.Instance != "" {
		owner = c.Instance + "/" + owner
	}
	return consumer.Config{
		Brokers: c.Brokers, Security: c.Security, Topic: c.Topic, Group: c.Group, Members: c.Members,
		Owner: owner, Instance: c.Instance, SessionTimeout: c.SessionTimeout, MaxBatch: c.MaxBatch,
	}
}

// process names this process for people.
func process() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

type healthcheckCommand struct {
	ops.ProbeFlags `embed:""`

	Listen string `help:"Where the projector listens (${default})." env:"${listen_env}" default:"${listen}" placeholder:"HOST:PORT"`
}
