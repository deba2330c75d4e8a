package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// formerPoll is how often it is looked whether there is a former read model.
const formerPoll = 2 * time.Second

// formerOf tells the former read models apart: 0 is none. What is former after a roll-back may be behind what was former before it, so
// that nobody would be told to go back if no event came.
const formerOf = `
SELECT CASE WHEN to_regclass('former.projection_offsets') IS NULL THEN 0 ELSE (SELECT count(*) FROM cut_overs) END`

// keepFormer applies the events to the read model that was live before the last cut-over too, while there is one, so that a roll-back
// finds it up to date. It is not what the program is for: it has no metrics, is not asked for readiness, and what stops it is only
// logged.
func (c *runCommand) keepFormer(ctx context.Context, live *pgxpool.Pool, database string, log *slog.Logger) {
	log = log.With("read_model", view.Former)
	stop := func() {}
	defer func() { stop() }()
	for kept := 0; ops.Sleep(ctx, formerPoll) == nil; {
		var is int
		if err := live.QueryRow(ctx, formerOf).Scan(&is); err != nil || is == kept {
			continue // the database being away shows elsewhere
		}
		stop()
		stop = func() {}
		if kept = is; is > 0 {
			stop = c.former(ctx, database, log)
		} else {
			log.InfoContext(ctx, "the former read model is gone")
		}
	}
}

// former applies to the former read model until stop is called.
func (c *runCommand) former(ctx context.Context, database string, log *slog.Logger) (stop func()) {
	pool, err := view.ConnectTo(ctx, database, view.Former, int32(2*c.Members+4), c.BeforeConnect) //nolint:gosec // Validate bounds it
	if err != nil {
		log.WarnContext(ctx, "former read model not reached", "err", err)
		return func() {}
	}
	log.InfoContext(ctx, "keeping the former read model up to date, until projector rebuild drop-former")
	cfg := c.consumer()
	cfg.Former = true
	cfg.Group += "-" + view.Former
	if cfg.Instance != "" {
		cfg.Instance += "-" + view.Former
	}
	cons := consumer.New(cfg, view.New(pool, c.Topic, c.MaxBlocked), log, consumer.NewMetrics(prometheus.NewRegistry()), ops.NewHealth(consumer.Parts...))
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := cons.Run(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "former read model not kept", "err", err)
		}
	})
	return func() {
		cancel()
		running.Wait()
		pool.Close()
	}
}
