package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
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
	Once    bool   `help:"Stop where the topic ends now."`
	Count   int    `help:"Stop after so many lines. Default: at Ctrl-C." placeholder:"N"`
	JSON    bool   `help:"Write an object per line instead of text." env:"FOODCTL_JSON" name:"json"`
}

// Help is what `foodctl tail --help` says beside the flags.
func (tailCmd) Help() string {
	return `Follows the topic as any correct reader does, read_committed, and prints a line for each event as it arrives: when its
transaction committed in Postgres (UTC), partition@offset, order, version, type, the transaction's commit LSN and the event's place
in it, and how long after the commit it arrived here, unless it was there before. A record that is not an event is shown as
such. It only reads, belongs to no consumer group, and goes on while brokers come and go. Ctrl-C ends it with exit code 0.

  foodctl tail                                  what is published now
  foodctl tail --from start --order ID          an order's events
  foodctl tail --from start --once --markers    all that is there, and where each Kafka transaction ends`
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
	// Ends are asked for here, and not left to the client: what is committed from now on is shown.
	ends, err := c.offsets(ctx, kadm.NewClient(client).ListCommittedOffsets)
	if err != nil {
		return err
	}
	from := ends
	if c.From == "start" {
		if from, err = c.offsets(ctx, kadm.NewClient(client).ListStartOffsets); err != nil {
			return err
		}
	}
	begin, left := make(map[int32]kgo.Offset), make(map[int32]int64)
	for part, offset := range from {
		begin[part] = kgo.NewOffset().At(offset)
		if offset < ends[part] {
			left[part] = ends[part]
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: begin})
	if !c.Once {
		tell(fmt.Sprintf("following %s from %s; Ctrl-C ends it", c.Topic, places(from)))
	}
	return c.follow(ctx, client, newLines(out, c), left, tell)
}

func (c *tailCmd) connect() (*kgo.Client, error) {
	return kgo.NewClient(append(c.Options(),
		kgo.SeedBrokers(broker.Seeds(c.Brokers)...),
		kgo.ClientID("foodctl-tail"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // also if they are not shown: a partition that ends in one would never be read to its end
	)...)
}

// offsets asks for an offset of each partition.
func (c *tailCmd) offsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("the brokers did not answer in time"))
	defer cancel()
	listed, err := list(ctx, c.Topic)
	if err == nil {
		err = listed.Error()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s at %s: %w", c.Topic, c.Brokers, err)
	}
	offsets := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = o.Offset })
	return offsets, nil
}

func places(offsets map[int32]int64) string {
	var list []string
	for _, part := range slices.Sorted(maps.Keys(offsets)) {
		list = append(list, life.Place(part, offsets[part]))
	}
	return strings.Join(list, ", ")
}

// follow shows what comes. What the brokers answer wrongly is told once, and the client asks again. left are the ends of the
// partitions that have yet to be read to where they ended at the beginning.
func (c *tailCmd) follow(ctx context.Context, client *kgo.Client, lines *lines, left map[int32]int64, tell progress) error {
	for trouble := ""; ctx.Err() == nil && !c.done(lines, left); {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil && ctx.Err() == nil && err.Error() != trouble {
			trouble = err.Error()
			tell(trouble)
		}
		for _, r := range fetches.Records() {
			end, reading := left[r.Partition]
			if c.done(lines, left) || c.Once && !reading {
				continue // it came later than what is asked for
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
			if err := lines.show(r, time.Now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// done says whether nothing more is to be shown.
func (c *tailCmd) done(lines *lines, left map[int32]int64) bool {
	return c.Count > 0 && lines.shown >= c.Count || c.Once && len(left) == 0
}
