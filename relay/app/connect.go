package app

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// checkSchema looks whether the migrations are there that the relay needs, in the orders database.
func (r *relay) checkSchema(ctx context.Context, conn *pgx.Conn) error {
	if !r.layout.Own {
		return nil
	}
	return sql.Check(ctx, conn, sql.Orders)
}

// url is of the orders database, with the password as it is now: a standby may have waited for longer than one is valid.
func (s *session) url() (string, error) { return s.config.Login(s.config.DatabaseURL) }

// replication opens a replication connection.
func (s *session) replication(ctx context.Context) (*pgconn.PgConn, error) {
	url, err := s.url()
	if err != nil {
		return nil, err
	}
	return wal.Connect(ctx, url)
}

// connect opens an ordinary connection, for questions.
func (s *session) connect(ctx context.Context) (*pgx.Conn, error) {
	url, err := s.url()
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout = 5 * time.Second
	config.DialFunc = ops.Dialer(10 * time.Second).DialContext
	config.RuntimeParams["application_name"] = "relay-watch"
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0" // of a snapshot that is exported
	config.RuntimeParams["statement_timeout"] = "10000"
	return pgx.ConnectConfig(ctx, config)
}
