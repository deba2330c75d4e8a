package app

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/console"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type watchCmd struct {
	systemFlags      `embed:""`
	auth.ClientFlags `embed:""`

	Relays     []string      `help:"Where the relays listen: it then says which of them publishes." env:"FOODCTL_RELAYS_AT" placeholder:"[NAME=]HOST:PORT,..."`
	Projectors []string      `help:"Where the projectors listen: it then shows how long an event takes from end to end." env:"FOODCTL_PROJECTORS_AT" placeholder:"HOST:PORT,..."`
	For        time.Duration `help:"Stop after so long. Default: at Ctrl-C." env:"FOODCTL_FOR" placeholder:"DURATION"`
	JSON       bool          `help:"Write an object per line instead of text." env:"FOODCTL_JSON" name:"json"`
}

// Help is what `foodctl watch --help` says beside the flags.
func (watchCmd) Help() string {
	return `Shows a line a second: events written to the outbox, published in the topic, applied to the read model, each counted
where it is, and not by what the programs say of themselves. It only reads, and goes on whatever is killed.`
}

// Run watches until ctx ends or the time is over.
func (c *watchCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	orders, readModel, err := c.databases(ctx)
	if err != nil {
		return err
	}
	client, err := c.Client(log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	defer client.CloseIdleConnections()
	asker := status.Asker{HTTP: client}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	collector, err := status.Open(ctx, status.Config{
		OrdersURL: orders, ReadModelURL: readModel, Brokers: broker.Seeds(c.Brokers), Security: c.Security,
		Topic: c.Topic, Asker: asker, Projectors: urlsOf(named(c.ClientFlags, c.Projectors)),
	})
	if err != nil {
		return err
	}
	defer collector.Close()
	tailing := make(chan struct{})
	go func() {
		defer close(tailing)
		collector.Run(ctx)
	}()
	screen := status.NewScreen(out, status.StyleOf(out, c.JSON))
	c.show(ctx, collector, newRelays(asker, named(c.ClientFlags, c.Relays)), screen)
	<-tailing
	screen.End()
	return nil
}

func (c *watchCmd) show(ctx context.Context, collector *status.Collector, relays *relays, screen *status.Screen) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	trouble := ""
	for ready := false; ; {
		counts, err := collector.Read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && (ready || collector.Ready()):
			trouble, ready = "", true
			screen.Status(counts)
		case err == nil: // the topic is still being read
		case err.Error() != trouble:
			trouble = err.Error()
			screen.Notice("%v", err)
		}
		if notice := relays.look(ctx); notice != "" {
			screen.Notice("%s", notice)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func urlsOf(programs []console.Program) (urls []string) {
	for _, p := range programs {
		urls = append(urls, p.URL)
	}
	return urls
}
