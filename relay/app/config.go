package app

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/registry"
	"github.com/adamkwhite/kafkafoodpipeline/relay/spans"
)

// config is what all commands but the health check take.
type config struct {
	ops.LogFlags      `embed:""`
	ops.DatabaseFlags `embed:""`
	kafka.Security    `embed:""`

	Registry registry.Flags `embed:""`

	DatabaseURL    string   `help:"Orders database, directly and not through a pooler. On the same host, its Unix socket takes less CPU: postgres://USER@/DATABASE?host=/var/run/postgresql. The role needs REPLICATION and what the group orders_relay has." env:"ORDERS_DATABASE_URL" required:"" placeholder:"URL"`
	Brokers        []string `help:"Kafka brokers to begin with." env:"KAFKA_BROKERS" required:"" placeholder:"HOST:PORT,..."`
	Topic          string   `help:"Topic to publish to (${default})." env:"TOPIC" default:"food-orders"`
	Slot           string   `help:"Replication slot (${default}). Relays with the same slot stand by for each other." env:"RELAY_SLOT" default:"food_orders"`
	Outbox         string   `help:"File that describes another outbox than the food orders': the JSON of a Debezium connector with its outbox event router. It names the tables, the publication and the slot, and the topics; then --topic and --slot have no effect. See docs/outbox.md." env:"RELAY_OUTBOX" placeholder:"FILE"`
	Source         string   `help:"Name of the source in the events, ce_source (${default})." env:"RELAY_SOURCE" default:"/orders"`
	MaxRetainedWAL int64    `name:"max-retained-wal" help:"Not ready while the slot holds back more bytes of log than this (${default})." env:"RELAY_MAX_RETAINED_WAL" default:"1073741824" placeholder:"BYTES"`

	Reason string `help:"Why, in the operator's words; kept in the checkpoint, or with the pause." env:"RELAY_REASON" placeholder:"TEXT"`
}

// describe reads the layout, and takes from it what it names.
func (c *config) describe() (*layout.Layout, error) {
	if c.Outbox == "" {
		return layout.Own(), nil
	}
	file, err := os.ReadFile(c.Outbox)
	if err != nil {
		return nil, fmt.Errorf("--outbox: %w", err)
	}
	l, err := layout.Connector(file)
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", c.Outbox, err)
	}
	c.Topic, c.Slot = l.Name, l.Slot
	return l, nil
}

// runCommand is relay run.
type runCommand struct {
	config      `embed:""`
	spans.Flags `embed:""`

	Access   auth.Flags        `embed:""`
	Listen   string            `help:"Address of health, metrics and profiles (${default})." env:"RELAY_LISTEN" default:"127.0.0.1:7482" placeholder:"HOST:PORT"`
	Spacing  time.Duration     `help:"Least time between two Kafka transactions that are not full (${default}). On a small host, 200ms: fewer transactions take less CPU, the brokers' too, and an event of a steady stream takes that much longer; above 500ms it has no effect." env:"RELAY_SPACING" default:"0s" placeholder:"DURATION"`
	OpenGate []checkpoint.Gate `name:"open-gate" help:"Go on, once, although this gate is closed; needs --reason. One of slot, ack, log, system, timeline, publication, cluster, topic, tail, canary." env:"RELAY_OPEN_GATE" placeholder:"GATE"`
}

// Validate is called by kong.
func (c *runCommand) Validate() error {
	if len(c.OpenGate) > 0 && c.Reason == "" {
		return errors.New("--open-gate needs --reason: the next one who looks will want to know why")
	}
	if c.Spacing < 0 {
		return fmt.Errorf("--spacing %s: give 0s or more", c.Spacing)
	}
	for _, name := range c.OpenGate {
		if !checkpoint.Known(name) {
			return fmt.Errorf("--open-gate %s: there is no such gate", name)
		}
	}
	return nil
}
