package app

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

type topicsCmd struct {
	kafka.Security `embed:""`

	Brokers  string        `help:"Kafka brokers, comma-separated." env:"KAFKA_BROKERS" required:"" placeholder:"HOST:PORT,..."`
	Topic    string        `help:"Topic of the events (${default})." env:"TOPIC" default:"food-orders" placeholder:"NAME"`
	Replicas int           `help:"Replicas of the topic, for which it waits until there are so many brokers. Default: as many as there are brokers at the moment, up to three." env:"FOODCTL_REPLICAS" placeholder:"N"`
	Logins   string        `help:"Make the programs' logins in Kafka, too, with the rights that they need, or give them new passwords; as a super user. DIR holds the passwords: kafka_relay, kafka_projector, kafka_auditor." env:"FOODCTL_KAFKA_LOGINS" type:"path" placeholder:"DIR"`
	Slot     string        `help:"The relay's replication slot, which is in the names that its login has rights to (${default})." env:"RELAY_SLOT" default:"food_orders" placeholder:"NAME"`
	Group    string        `help:"The projectors' consumer group, likewise (${default})." env:"PROJECTOR_GROUP" default:"food-orders-projector" placeholder:"NAME"`
	Timeout  time.Duration `help:"How long to wait for the brokers (${default})." env:"FOODCTL_TIMEOUT" default:"30s" placeholder:"D"`
}

// Help is what `foodctl topics --help` says beside the flags.
func (topicsCmd) Help() string {
	return `Makes the topic if it is not there: three partitions, nothing ever deleted, and as many replicas as the brokers
allow, up to three. A topic that is there is checked, and what differs is said; it is never changed. The relay makes its
checkpoint topic itself.`
}

// Run makes or checks the topic.
func (c *topicsCmd) Run(ctx context.Context, out io.Writer) error {
	if err := c.Check(); err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	client, err := broker.Connect(ctx, c.Brokers, c.Options()...)
	if err != nil {
		return err
	}
	defer client.Close()
	t, err := broker.Ensure(ctx, client, c.Topic, c.Replicas)
	if err != nil {
		return err
	}
	verb := "is as it should be"
	if t.Created {
		verb = "made"
	}
	fmt.Fprintf(out, "%s: %s: %d partitions, replication factor %d, on %d brokers\n", t.Name, verb, topic.Partitions, t.Replicas, t.Brokers)
	for _, note := range t.Notes {
		fmt.Fprintf(out, "  note: %s\n", note)
	}
	if c.Logins == "" {
		return nil
	}
	logins := access.Kafka(access.Names{Topic: c.Topic, Slot: c.Slot, Group: c.Group})
	made, err := access.EnsureKafkaFrom(ctx, client, logins, c.Logins)
	if err == nil {
		fmt.Fprintf(out, "logins %s\n", strings.Join(made, ", "))
	}
	return err
}
