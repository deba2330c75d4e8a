package app

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/rebuild"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// rebuildCommand is projector rebuild.
type rebuildCommand struct {
	Run        runRebuild     `cmd:"" default:"withargs" help:"Make the read model anew beside the live one, compare them, and cut over. Killed, it goes on when it is run again; the live one is not touched before the cut-over."`
	Discard    discardRebuild `cmd:"" help:"Drop what a rebuild has made so far."`
	RollBack   rollBack       `cmd:"" help:"Make the read model live again that was so before the last cut-over."`
	DropFormer dropFormer     `cmd:"" help:"Drop the read model that was live before the last cut-over. There is no rolling back then."`
}

type runRebuild struct {
	readModelFlags `embed:""`
	kafka.Security `embed:""`
	ops.LogFlags   `embed:""`

	Brokers    []string `help:"Kafka brokers, separated by commas." env:"KAFKA_BROKERS" required:"" placeholder:"HOST:PORT,..."`
	FromOutbox bool     `help:"Take what the topic has lost from the outbox table, which has everything."`
	OrdersURL  string   `name:"orders-url" help:"The orders database, for --from-outbox: a login that may read the outbox." env:"ORDERS_DATABASE_URL" placeholder:"URL"`
	Overtake   bool     `help:"Go on to the end of the topic though the live read model stands behind, and compare nothing: for one that has stopped."`
	Accept     bool     `help:"Cut over also if the new read model differs from the live one."`
	MaxBlocked int      `help:"Orders with dead letters in a partition at most (${default})." env:"PROJECTOR_MAX_BLOCKED" default:"100"`
}

// Validate is called by kong.
func (c *runRebuild) Validate() error {
	if c.FromOutbox && c.OrdersURL == "" {
		return fmt.Errorf("--from-outbox needs --orders-url")
	}
	return c.Check()
}

// rebuildMemory is the limit of a rebuild: three partitions have some 100 MB in hand, and a host may have little.
const rebuildMemory = 192 << 20

func (c *runRebuild) run(ctx context.Context, out, errs io.Writer) error {
	limitMemory(rebuildMemory)
	return c.pool(ctx, func(live *pgxpool.Pool, database string) error {
		pool, err := view.ConnectTo(ctx, database, view.Rebuild, 8, c.BeforeConnect)
		if err != nil {
			return err
		}
		defer pool.Close()
		cfg := rebuild.Config{
			Brokers: c.Brokers, Security: c.Security, Topic: c.Topic, Owner: "rebuild by " + process(), Overtake: c.Overtake, Accept: c.Accept,
			MaxBlocked: c.MaxBlocked, Progress: out, Log: c.Log("projector", errs),
		}
		if c.FromOutbox {
			cfg.Outbox = c.OrdersURL
		}
		return rebuild.New(cfg, live, pool).Run(ctx)
	})
}

type discardRebuild struct {
	readModelFlags `embed:""`
}

func (c *discardRebuild) run(ctx context.Context, out io.Writer) error {
	return c.pool(ctx, func(live *pgxpool.Pool, _ string) error {
		if err := rebuild.Discard(ctx, live); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "The rebuild is discarded. The live read model was not touched.")
		return err
	})
}

type dropFormer struct {
	readModelFlags `embed:""`
}

func (c *dropFormer) run(ctx context.Context, out io.Writer) error {
	return c.pool(ctx, func(live *pgxpool.Pool, _ string) error {
		if err := rebuild.DropFormer(ctx, live); err != nil {
			return err
		}
		_, err := fmt.Fprintln(out, "The former read model is dropped.")
		return err
	})
}

type rollBack struct {
	readModelFlags `embed:""`
}

func (c *rollBack) run(ctx context.Context, out io.Writer) error {
	return c.pool(ctx, func(live *pgxpool.Pool, database string) error {
		former, err := view.ConnectTo(ctx, database, view.Former, 4, c.BeforeConnect)
		if err != nil {
			return err
		}
		defer former.Close()
		at, err := rebuild.RollBack(ctx, live, former, c.Topic)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "Rolled back, at %s. What was live goes on beside it as the former read model.\n", at)
		return err
	})
}
