package view

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Limits on a session. Together they bound how long a stopped, cut-off or hanging owner can hold a partition's row:
// idleInTransaction when its process is stopped, userTimeout when its network is gone, statementTimeout when the server
// itself is slow. lockTimeout is how long one try of a claim waits for it; the claim tries again.
const (
	lockTimeout       = 2 * time.Second
	statementTimeout  = 10 * time.Second
	idleInTransaction = 5 * time.Second
	userTimeout       = 10 * time.Second

	// tryTimeout ends a batch's transaction from this side, whatever the server does.
	tryTimeout = 30 * time.Second
)

// The schemas that the tables of a read model are in. Live ones have the names that every reader uses; those of a read model that is
// being made, or that was live before, are beside them under the same names. See sql/readmodel/0002_rebuild.up.sql.
const (
	Live    = "public"
	Rebuild = "rebuild"
	Former  = "former"
)

// Connect makes a pool of at most conns connections to the live tables, whose sessions have the limits that takeover depends on. It
// does not connect yet. Before, if not nil, is called before each connection, to give it a password that has changed. One connection
// per partition that is owned, and one for claims, is enough.
func Connect(ctx context.Context, url string, conns int32, before func(context.Context, *pgx.ConnConfig) error) (*pgxpool.Pool, error) {
	return ConnectTo(ctx, url, Live, conns, before)
}

// ConnectTo is Connect to the tables in a schema, and no others: were the live ones on the path behind it, a statement would write
// to them as soon as the schema is dropped.
func ConnectTo(ctx context.Context, url, schema string, conns int32, before func(context.Context, *pgx.ConnConfig) error) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL %s: want postgres://user:password@host:port/readmodel", ops.Redact(url)) // err may hold the password
	}
	config.MaxConns, config.BeforeConnect, config.AfterConnect = conns, before, registerArrays
	p := config.ConnConfig.RuntimeParams
	if p["application_name"] == "" {
		p["application_name"] = "projector"
	}
	p["timezone"] = "UTC"
	p["search_path"] = schema
	p["lock_timeout"] = millis(lockTimeout)
	p["statement_timeout"] = millis(statementTimeout)
	p["idle_in_transaction_session_timeout"] = millis(idleInTransaction)
	p["tcp_user_timeout"] = millis(userTimeout)
	p["tcp_keepalives_idle"], p["tcp_keepalives_interval"], p["tcp_keepalives_count"] = "5", "2", "3"
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.ConnConfig.DialFunc = ops.Dialer(userTimeout).DialContext
	return pgxpool.NewWithConfig(ctx, config)
}

func millis(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
