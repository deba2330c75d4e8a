// Package app is the program projector: it reads the events of the food orders from Kafka and keeps the read model in
// Postgres: every event changes it exactly once, whatever is killed and however the partitions move between projectors.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

const description = `Keeps the read model: consumes the food orders' events, each exactly once.

Start as many as you like with the same --group: they share the topic's partitions. It needs a readmodel database with the
schema of this version (foodctl migrate). SIGTERM finishes the batch in hand and leaves the group.`

// Main runs the program with the command line and the streams of this process, and returns its exit code.
func Main() int {
	return ops.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr), os.Stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("projector"),
		kong.Description(description),
		kong.Vars{"listen_env": "PROJECTOR_LISTEN", "listen": "127.0.0.1:7484"},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help
		return nil
	}
	if err != nil {
		return &ops.ExitError{Code: 2, Err: fmt.Errorf("%w (see projector --help)", err)}
	}
	ctx, stop := ops.Signals(ctx)
	defer stop()
	switch command.Command() {
	case "healthcheck", "healthcheck <probe>":
		return ops.Healthcheck(ctx, c.Healthcheck.Listen, c.Healthcheck.Probe, c.Healthcheck.TLSCert)
	case "letters list":
		return c.Letters.List.run(ctx, stdout)
	case "letters show <order|partition:offset>":
		return c.Letters.Show.run(ctx, stdout)
	case "letters redrive", "letters redrive <order>":
		return c.Letters.Redrive.run(ctx, stdout)
	case "letters discard <order|partition:offset>":
		return c.Letters.Discard.run(ctx, stdout)
	case "rebuild run":
		return c.Rebuild.Run.run(ctx, stdout, stderr)
	case "rebuild discard":
		return c.Rebuild.Discard.run(ctx, stdout)
	case "rebuild roll-back":
		return c.Rebuild.RollBack.run(ctx, stdout)
	case "rebuild drop-former":
		return c.Rebuild.DropFormer.run(ctx, stdout)
	case "serve":
		log := c.Serve.Log("projector", stderr)
		return ops.Ended(log, c.Serve.run(ctx, log))
	}
	log := c.Run.Log("projector", stderr)
	return ops.Ended(log, c.Run.run(ctx, log))
}

// run serves and consumes until ctx ends. A failure of the one ends the other.
func (c *runCommand) run(ctx context.Context, log *slog.Logger) error {
	limitMemory(c.memory())
	guard, err := c.Guard(log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	listener, err := ops.Listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close() // once more than ServeOn does, if it is never reached
	database, err := c.Login(c.DatabaseURL)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	pool, err := view.Connect(ctx, database, int32(2*c.Members+8), c.BeforeConnect) //nolint:gosec // Validate bounds it
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := check(ctx, pool); err != nil {
		return err
	}

	registry := ops.Registry()
	registry.MustRegister(guard)
	metrics, health := register(registry)
	cons := consumer.New(c.consumer(), view.New(pool, c.Topic, c.MaxBlocked), log, metrics, health)
	started(ctx, log.With("group", c.Group, "members", c.Members), listener, c.Topic, c.DatabaseURL)

	g, ctx := errgroup.WithContext(ctx)
	served, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error { return ops.ServeOn(served, listener, guard, ops.Handler(registry, health)) })
	g.Go(func() error {
		c.keepFormer(ctx, pool, database, log)
		return nil
	})
	g.Go(func() error {
		defer stopServing() // last, so that the drain can be watched
		return cons.Run(ctx)
	})
	return g.Wait()
}

// limitMemory sets a soft limit, unless the environment does.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// memory is the limit: the collector runs as often as it takes to stay below it. Behind by much, a member has some four batches in
// hand, and what is thrown away after each would be as much again.
func (c *runCommand) memory() int64 { return 24<<20 + int64(c.Members*c.MaxBatch)*16<<10 }

func started(ctx context.Context, log *slog.Logger, listener net.Listener, topic, database string) {
	log.InfoContext(ctx, "started", "build", ops.Version(), "listen", listener.Addr().String(), "topic", topic, "database", ops.Redact(database))
}

// Metrics registers all that the projector exports beside what every program does: the catalogue in docs is read off it.
func Metrics(reg prometheus.Registerer) { register(reg) }

func register(reg prometheus.Registerer) (*consumer.Metrics, *ops.Health) {
	health := ops.NewHealth(consumer.Parts...)
	reg.MustRegister(health)
	return consumer.NewMetrics(reg), health
}

// startTimeout is how long to wait for the database at the start: programs and servers are often started together.
const startTimeout = 30 * time.Second

// check waits for the database and returns an error if its schema is not of this version.
func check(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := sql.Check(ctx, pool, sql.ReadModel)
		if _, unreachable := errors.AsType[*pgconn.ConnectError](err); !unreachable {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
