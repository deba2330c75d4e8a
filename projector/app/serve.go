package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/query"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// serveCommand is projector serve.
type serveCommand struct {
	ops.Flags      `embed:"" set:"listen=127.0.0.1:7488"`
	readModelFlags `embed:""`

	Connections int32         `help:"Connections to the database at most (${default})." env:"QUERY_CONNECTIONS" default:"12" placeholder:"N"`
	MaxInFlight int           `help:"Requests worked on at once, those that wait for a version included (${default}); more are answered 503." env:"QUERY_MAX_IN_FLIGHT" default:"256" placeholder:"N"`
	MaxStreams  int           `help:"Clients that follow changes at once (${default}); more are answered 503. Each takes some 60 kB." env:"QUERY_MAX_STREAMS" default:"300" placeholder:"N"`
	Heartbeat   time.Duration `help:"Silence after which a stream says that it lives (${default}): less than what a proxy between here and the clients cuts off." env:"QUERY_HEARTBEAT" default:"15s" placeholder:"D"`
}

// Validate is called by kong.
func (c *serveCommand) Validate() error {
	switch {
	case c.Connections < 6: // the hub's, one for who waits, four for streams that catch up
		return fmt.Errorf("--connections is %d: want 6 or more, which those who follow and wait need already", c.Connections)
	case c.MaxInFlight < 1 || c.MaxStreams < 1:
		return errors.New("--max-in-flight and --max-streams: want 1 or more")
	case c.Heartbeat < 100*time.Millisecond:
		return fmt.Errorf("--heartbeat is %s: want 100ms or more", c.Heartbeat)
	}
	return nil
}

// run serves until ctx ends, then lets requests under way finish; streams and waiting end at once.
func (c *serveCommand) run(ctx context.Context, log *slog.Logger) error {
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
	pool, err := query.Connect(ctx, database, c.Connections, c.BeforeConnect)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	defer pool.Close()
	if err := check(ctx, pool); err != nil {
		return err
	}
	registry := ops.Registry()
	registry.MustRegister(guard)
	cfg := query.Config{
		Pool: pool, Topic: c.Topic, Logger: log, InFlight: c.MaxInFlight, Streams: c.MaxStreams, Heartbeat: c.Heartbeat,
	}
	api, health := registerServe(registry, cfg)
	started(ctx, log, listener, c.Topic, c.DatabaseURL)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return api.Run(ctx) })
	g.Go(func() error { return ops.ServeOn(ctx, listener, guard, withOps(api, registry, health)) })
	g.Go(func() error {
		watch(ctx, pool, health, log)
		return nil
	})
	return g.Wait()
}

// ServeMetrics registers all that projector serve exports beside what every program does.
func ServeMetrics(reg prometheus.Registerer) { registerServe(reg, query.Config{}) }

func registerServe(reg prometheus.Registerer, cfg query.Config) (*query.API, *ops.Health) {
	health := ops.NewHealth("database")
	reg.MustRegister(health)
	cfg.Metrics = reg
	return query.New(cfg), health
}

// withOps serves the API and, beside it, health and metrics. Profiles are left out: outsiders reach this listener.
func withOps(api http.Handler, registry *prometheus.Registry, health *ops.Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", api)
	public := ops.Public(registry, health)
	for _, path := range []string{"GET /livez", "GET /readyz", "GET /metrics", "GET /version"} {
		mux.Handle(path, public)
	}
	return mux
}

const watchInterval = time.Second

var errAway = errors.New("the readmodel database does not answer")

// watch keeps the database's readiness up to date until ctx ends.
func watch(ctx context.Context, pool *pgxpool.Pool, health *ops.Health, log *slog.Logger) {
	ready := true
	for {
		err := look(ctx, pool)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil && !ready:
			log.InfoContext(ctx, "the readmodel database is ready again")
		case err != nil && ready:
			log.WarnContext(ctx, "the readmodel database is not ready", "err", err)
		}
		ready = err == nil
		if err != nil && !errors.Is(err, sql.ErrSchema) {
			err = errAway // the server's and the driver's words have addresses and users in them
		}
		health.Set("database", err)
		if ops.Sleep(ctx, watchInterval) != nil {
			return
		}
	}
}

func look(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return sql.Check(ctx, pool, sql.ReadModel)
}
