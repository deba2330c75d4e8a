package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

var (
	errDraining    = errors.New("draining")
	errUnreachable = errors.New("the orders database does not answer")
)

// limits are set for each session, unless the URL sets them. A command holds locks for milliseconds; one that waits for
// seconds has met a hung writer, and its caller is better told so.
var limits = map[string]string{
	"application_name":                    "orderservice",
	"lock_timeout":                        "3s",
	"statement_timeout":                   "5s",
	"idle_in_transaction_session_timeout": "10s",
}

// pool makes the pool without connecting.
func (f runFlags) pool(ctx context.Context) (*pgxpool.Pool, error) {
	database, err := f.Login(f.DatabaseURL)
	if err != nil {
		return nil, &ops.ExitError{Code: 2, Err: err}
	}
	config, err := pgxpool.ParseConfig(database)
	if err != nil || f.DatabaseURL == "" { // the parser would take none for the local default
		// Not wrapped: the parser's error quotes what it was given, which may hold a password where none is expected.
		return nil, fmt.Errorf("--database-url %q is not a Postgres URL such as postgres://orders_api@127.0.0.1:7489/orders", ops.Redact(f.DatabaseURL))
	}
	for name, value := range limits {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	config.BeforeConnect = f.BeforeConnect
	config.MaxConns = f.Connections
	if f.Generate && f.Rate == 0 {
		config.MaxConns += int32(min(f.Writers, 1000)) //nolint:gosec // bounded here
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connections to %s: %w", ops.Redact(f.DatabaseURL), err)
	}
	return pool, nil
}

// interval is how often the database is asked whether it is there and right.
const interval = time.Second

// watch keeps the database's readiness up to date until ctx ends, and closes ready when it is right for the first time.
// A database that is away is waited for. It returns an error when only an operator can help, before it was ever ready:
// it is better to stop with a remedy than to wait for ever.
func watch(ctx context.Context, pool *pgxpool.Pool, health *ops.Health, log *slog.Logger, ready chan<- struct{}) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	began, last := false, error(nil)
	for {
		err := check(ctx, pool)
		if ctx.Err() != nil {
			return nil
		}
		if !began && err != nil && !away(err) {
			return fmt.Errorf("orders database: %w", err)
		}
		health.Set("database", shown(err))
		switch {
		case err == nil && (!began || last != nil):
			log.Info("the orders database is ready")
		case err != nil && last == nil:
			log.Warn("the orders database is not ready", "err", err, "remedy", "start it or correct ORDERS_DATABASE_URL, this program goes on trying")
		}
		if last = err; err == nil && !began {
			began = true
			close(ready)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func check(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return sql.Check(ctx, pool, sql.Orders)
}

// shown is what /readyz tells of an error: the schema's remedy, but none of the server's or the driver's words, which have
// addresses and users in them.
func shown(err error) error {
	_, answered := errors.AsType[*pgconn.PgError](err)
	if answered || (err != nil && away(err)) {
		return errUnreachable
	}
	return err
}

// away reports whether the database may come back by itself: it cannot be reached, is starting or stopping, or has too
// many connections. A wrong password, database or schema does not heal.
func away(err error) bool {
	if pg, answered := errors.AsType[*pgconn.PgError](err); answered {
		class := pg.Code[:min(2, len(pg.Code))]
		return strings.Contains("08 53 57", class)
	}
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	return connect || network || pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded)
}

// poolMetrics reads the pool's own numbers when they are asked for.
type poolMetrics struct{ pool *pgxpool.Pool }

var (
	poolConnections = prometheus.NewDesc("db_pool_connections", "Connections to the orders database, by state.", []string{"state"}, nil)
	poolLimit       = prometheus.NewDesc("db_pool_connections_max", "Connections to the orders database at most.", nil, nil)
	poolWaits       = prometheus.NewDesc("db_pool_waits_total", "Times that a connection had to be waited for.", nil, nil)
	poolWaited      = prometheus.NewDesc("db_pool_wait_seconds_total", "Time spent to get a connection.", nil, nil)
)

// Describe implements prometheus.Collector.
func (poolMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolConnections, poolLimit, poolWaits, poolWaited} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (m poolMetrics) Collect(metrics chan<- prometheus.Metric) {
	stat := m.pool.Stat()
	for state, n := range map[string]int32{"idle": stat.IdleConns(), "used": stat.AcquiredConns(), "connecting": stat.ConstructingConns()} {
		metrics <- prometheus.MustNewConstMetric(poolConnections, prometheus.GaugeValue, float64(n), state)
	}
	metrics <- prometheus.MustNewConstMetric(poolLimit, prometheus.GaugeValue, float64(stat.MaxConns()))
	metrics <- prometheus.MustNewConstMetric(poolWaits, prometheus.CounterValue, float64(stat.EmptyAcquireCount()))
	metrics <- prometheus.MustNewConstMetric(poolWaited, prometheus.CounterValue, stat.AcquireDuration().Seconds())
}
