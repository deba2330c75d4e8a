package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/naive"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// naivePublisherCmd is what demo naive starts as a child process.
type naivePublisherCmd struct {
	OrdersURL string `help:"The orders database." env:"ORDERS_DATABASE_URL" required:"" placeholder:"URL"`
	Brokers   string `help:"Kafka brokers, comma-separated." env:"KAFKA_BROKERS" required:"" placeholder:"HOST:PORT,..."`
	Topic     string `help:"The events' topic." env:"TOPIC" required:"" placeholder:"NAME"`
}

// Run publishes until it is told to stop.
func (c *naivePublisherCmd) Run(ctx context.Context) error {
	return naive.Run(ctx, naive.Config{DatabaseURL: c.OrdersURL, Brokers: c.Brokers, Topic: c.Topic})
}

type naiveCmd struct {
	trialFlags

	Times int           `help:"How many kills (${default})." env:"FOODCTL_TIMES" default:"20" placeholder:"N"`
	Every time.Duration `help:"Time from one kill to the next; longer if the victim is not back yet (${default})." env:"FOODCTL_EVERY" default:"1s" placeholder:"D"`
}

// Help is what `foodctl demo naive --help` says beside the flags.
func (naiveCmd) Help() string {
	return `The control of demo kill: the same system, kills and audit, but in the relay's place a publisher as one writes it first. It
selects what is new in the outbox, sends it with acks=all by an idempotent producer, and then stores in Postgres how far
it has come. Nothing in it waits longer than it has to; the kills come when Kafka has something new, before or after the
position is stored, as it happens.

That a check finds nothing means little until it has been seen to find something.

Exit code: 1 the audit found duplicates, as is to be expected; 2 there happened to be none, or it was undecided.`
}

// Run runs the trial.
func (c *naiveCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Times < 1 || c.Every <= 0 {
		return errors.New("--times must be at least 1, and --every above 0")
	}
	const soon = 10 * time.Second // what it has passed over never arrives
	return trial{
		flags: c.trialFlags, system: stack.Config{Naive: true}, control: true, patience: soon,
		plan:  fmt.Sprintf("a naive publisher in the relay's place; %d kills, one every %s", c.Times, c.Every),
		begin: func(s *session) ordeal { return &naiveKiller{session: s, c: c, kills: make(kills)} },
	}.run(ctx, out, log)
}

// naiveKiller kills the naive publisher.
type naiveKiller struct {
	*session

	c     *naiveCmd
	kills kills
	done  bool // its position is at the end of the outbox; written by toll
}

func (k *naiveKiller) strike(ctx context.Context) error {
	growth, err := broker.OpenGrowth(ctx, k.Brokers(), k.names.Topic)
	if err != nil {
		return err
	}
	defer growth.Close()
	next := time.Now()
	for range k.c.Times {
		moment := rand.N(k.c.Every/4 + 1) // not a secret
		if err := ops.Sleep(ctx, time.Until(next.Add(moment))); err != nil {
			return err
		}
		if err := k.grown(ctx, growth); err != nil {
			return err
		}
		if err := k.kills.kill(k.session, k.Publisher); err != nil {
			return err
		}
		next = next.Add(k.c.Every)
	}
	return nil
}

// grown waits until the publisher has brought something new to Kafka.
func (k *naiveKiller) grown(ctx context.Context, growth *broker.Growth) error {
	ctx, cancel := context.WithTimeoutCause(ctx, comeback, fmt.Errorf("%s has published nothing for %s; its log is %s",
		k.Publisher.Name(), comeback, k.Publisher.Log))
	defer cancel()
	if err := growth.Await(ctx); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

// naiveToll is what the kills came to, as far as it can be seen without the audit.
type naiveToll struct {
	Kills  kills `json:"kills"`
	Behind int64 `json:"rows_behind_the_position"`
}

// String is two lines.
func (t naiveToll) String() string {
	return fmt.Sprintf("%s%d rows are still beyond the position that it has stored\n", t.Kills, t.Behind)
}

func (k *naiveKiller) toll(ctx context.Context) (fmt.Stringer, error) {
	behind, err := naive.Behind(ctx, k.OrdersURL())
	k.done = behind == 0
	return naiveToll{k.kills, behind}, err
}

// judge says what the findings come from. A trial without a duplicate has shown nothing, whatever else it found.
func (k *naiveKiller) judge(r audit.Report) error {
	if r.Counts.Duplicates == 0 {
		return &ops.ExitError{Code: 2, Err: errors.New("no duplicate arose: no kill hit between Kafka's acknowledgement and the position, " +
			"so this shows nothing; try more --times or a higher --rate")}
	}
	k.screen.Text(lesson(r.Counts.Duplicates, k.passedOver(r.Counts)))
	return &ops.ExitError{Code: 1}
}

// passedOver is how many events it will never publish. The audit, which knows nothing of a position, waits for them.
func (k *naiveKiller) passedOver(c audit.Counts) int64 {
	if !k.done {
		return c.Missing
	}
	return c.Missing + c.Pending
}

// lesson says what happened and why.
func lesson(duplicates, passedOver int64) string {
	text := fmt.Sprintf("%d records repeat an event: killed when Kafka had it and Postgres had not been told yet, the next process sent it again.\n", duplicates)
	if passedOver > 0 {
		text += fmt.Sprintf("%d events were never published: they committed when a higher sequence number had been passed already.\n", passedOver)
	}
	return text + "Two writes to two systems leave such a gap in any order. The relay writes events and position in one Kafka transaction,\n" +
		"and reads the log in commit order. The same kills do nothing to it: foodctl demo kill exits 0.\n"
}
