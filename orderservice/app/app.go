// Package app is the program orderservice: it takes orders over HTTP and, if asked to, makes its own traffic: simulated
// customers who walk orders through their whole life.
//
// It promises that what it answered with 2xx is in the orders database, and it needs nothing else: the topic may be away
// for as long as the disk lasts. It migrates nothing. It may be killed at any moment.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/api"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/generator"
)

// Main runs the program with the command line and the streams of this process, and returns its exit code.
func Main() int {
	return ops.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr), os.Stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var flags cli
	parser, err := kong.New(&flags, options(stdout, stderr)...)
	if err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: fmt.Errorf("%w (see orderservice run --help)", err)}
	}
	ctx, stop := ops.Signals(ctx)
	defer stop()
	if parsed.Command() == "healthcheck <probe>" || parsed.Command() == "healthcheck" {
		return ops.Healthcheck(ctx, flags.Listen, flags.Healthcheck.Probe, flags.TLSCert)
	}
	log := flags.Log("orderservice", stderr)
	return ops.Ended(log, serve(ctx, flags, log))
}

// serve runs the service until ctx ends, then lets requests and orders under way finish.
func serve(ctx context.Context, flags cli, log *slog.Logger) error {
	if err := flags.Run.checkRetention(); err != nil {
		return err
	}
	guard, err := flags.Guard(log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	pool, err := flags.Run.pool(ctx)
	if err != nil {
		return err
	}
	// Last, when everything that borrows a connection has ended: Close waits for each to come back.
	defer pool.Close()
	registry := ops.Registry()
	registry.MustRegister(guard)
	health := register(registry, pool)
	health.Set("lifetime", nil)
	orders := eventlog.New(pool, log)
	listener, err := ops.Listen(ctx, flags.Listen)
	if err != nil {
		return err
	}
	log.Info("started", "build", ops.Version(), "listen", listener.Addr().String(), "database", ops.Redact(flags.Run.DatabaseURL))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return ops.ServeOn(ctx, listener, guard, handler(flags.Run, pool, orders, log, registry, health))
	})
	ready := make(chan struct{})
	group.Go(func() error { return watch(ctx, pool, health, log, ready) })
	keys := newPruner(registry, orders, log, flags.Run.KeyRetention)
	group.Go(func() error { return keys.run(ctx, ready) })
	if flags.Run.Generate {
		tools := generator.Tools{Pool: pool, Log: orders, Metrics: generator.NewMetrics(registry), Logger: log}
		group.Go(func() error { return generate(ctx, flags.Run.traffic(), tools, ready) })
	}
	group.Go(func() error {
		<-ctx.Done()
		health.Set("lifetime", errDraining)
		log.Info("stopping")
		return nil
	})
	return group.Wait()
}

// Metrics registers all that orderservice exports beside what every program does: the catalogue in docs is read off it.
// Nothing is asked of the pool but its own numbers.
func Metrics(reg prometheus.Registerer, pool *pgxpool.Pool) {
	register(reg, pool)
	api.New(api.Config{Metrics: reg})
	generator.NewMetrics(reg)
	newPruner(reg, nil, nil, 0)
}

func register(reg prometheus.Registerer, pool *pgxpool.Pool) *ops.Health {
	health := ops.NewHealth("database", "lifetime")
	reg.MustRegister(poolMetrics{pool}, health)
	return health
}

// handler serves the API and, beside it, health and metrics. Profiles are left out: this listener is the one that
// outsiders reach.
func handler(flags runFlags, pool *pgxpool.Pool, orders *eventlog.Log, log *slog.Logger, registry *prometheus.Registry, health *ops.Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", api.New(api.Config{Pool: pool, Log: orders, Logger: log, Metrics: registry, InFlight: flags.MaxInFlight}))
	public := ops.Public(registry, health)
	for _, path := range []string{"GET /livez", "GET /readyz", "GET /metrics", "GET /version"} {
		mux.Handle(path, public)
	}
	return mux
}

// generate makes traffic once the database was found right.
func generate(ctx context.Context, traffic generator.Config, tools generator.Tools, ready <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return nil
	case <-ready:
		return generator.Run(ctx, traffic, tools)
	}
}
