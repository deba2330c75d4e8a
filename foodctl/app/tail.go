package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
)

type tailCmd struct {
	kafka.Security `embed:""`

	Brokers string `help:"Kafka brokers, comma-separated. Default: the dev broker of foodctl up." env:"KAFKA_BROKERS" default:"127.0.0.1:7490" placeholder:"HOST:PORT,..."`
	Topic   string `help:"Topic to follow (${default}). The relay's checkpoints are in TOPIC.checkpoint.SLOT." env:"TOPIC" default:"food-orders" placeholder:"NAME"`
	Order   string `help:"Show this order's events alone." placeholder:"ID"`
	From    string `help:"Where to begin: start or end (${default})." enum:"start,end" default:"end"`
	Markers bool   `help:"Show also the markers that end Kafka transactions: COMMIT or ABORT, producer id and epoch."`
	Count   int    `help:"Stop after so many lines. Default: at Ctrl-C." placeholder:"N"`
	JSON    bool   `help:"Write an object per line instead of text." env:"FOODCTL_JSON" name:"json"`
}

// Help is what `foodctl tail --help` says beside the flags.
func (tailCmd) Help() string {
	return `Follows the topic as any correct reader does, read_committed, and prints a line for each event as it arrives: when its
transaction committed in Postgres, partition@offset, order, version, type, the transaction's commit LSN and the event's place
in it, and how long after the commit it arrived here, unless it was there before. A record that is not an event is shown as
such. It only reads, belongs to no consumer group, and goes on while brokers come and go. Ctrl-C ends it with exit code 0.

  foodctl tail                                  what is published now
  foodctl tail --from start --order ID          an order's events
  foodctl tail --from start --markers           and where each Kafka transaction ends`
}

// Run follows the topic until ctx ends or enough was shown.
func (c *tailCmd) Run(ctx context.Context, out io.Writer, tell progress) error {
	if c.Order != "" {
		id, err := uuid.Parse(c.Order)
		if err != nil {
			return fmt.Errorf("--order %q is no order's id: it has the form 01a22079-7629-7722-b50c-a9cc6fbf7671", c.Order)
		}
		c.Order = id.String()
	}
	if err := c.Check(); err != nil {
		return err
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	from, err := c.begin(ctx, client)
	if err != nil {
		return err
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: from})
	tell(fmt.Sprintf("following %s from %s; Ctrl-C ends it", c.Topic, places(from)))
	return c.follow(ctx, client, newLines(out, c), tell)
}

func (c *tailCmd) connect() (*kgo.Client, error) {
	opts := append(c.Options(),
		kgo.SeedBrokers(broker.Seeds(c.Brokers)...),
		kgo.ClientID("foodctl-tail"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if c.Markers {
		opts = append(opts, kgo.KeepControlRecords())
	}
	return kgo.NewClient(opts...)
}

// begin is the offset to begin at in each partition. Ends are asked for here, and not left to the client: what is committed
// from now on is shown.
func (c *tailCmd) begin(ctx context.Context, client *kgo.Client) (map[int32]kgo.Offset, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("the brokers did not answer in time"))
	defer cancel()
	list := kadm.NewClient(client).ListCommittedOffsets
	if c.From == "start" {
		list = kadm.NewClient(client).ListStartOffsets
	}
	listed, err := list(ctx, c.Topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s at %s: %w", c.Topic, c.Brokers, errors.Join(err, context.Cause(ctx)))
	}
	from := make(map[int32]kgo.Offset)
	listed.Each(func(o kadm.ListedOffset) { from[o.Partition] = kgo.NewOffset().At(o.Offset) })
	return from, nil
}

func places(from map[int32]kgo.Offset) string {
	var list []string
	for part := range int32(len(from)) {
		list = append(list, life.Place(part, from[part].EpochOffset().Offset))
	}
	return strings.Join(list, ", ")
}

// follow shows what comes. What the brokers answer wrongly is told once, and the client asks again.
func (c *tailCmd) follow(ctx context.Context, client *kgo.Client, lines *lines, tell progress) error {
	for trouble := ""; ctx.Err() == nil; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil && ctx.Err() == nil && err.Error() != trouble {
			trouble = err.Error()
			tell(trouble)
		}
		for _, r := range fetches.Records() {
			if err := lines.show(r, time.Now()); err != nil {
				return err
			}
			if c.Count > 0 && lines.shown >= c.Count {
				return nil
			}
		}
	}
	return nil
}
