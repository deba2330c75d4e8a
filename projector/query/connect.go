package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// settings are set for each session, unless the URL sets them. A read takes milliseconds; one that takes seconds has met a
// database in trouble, and its caller is better told so.
var settings = map[string]string{
	"application_name":                    "projector serve",
	"default_transaction_read_only":       "on",
	"search_path":                         "public", // the live tables
	"lock_timeout":                        "3s",
	"statement_timeout":                   "5s",
	"idle_in_transaction_session_timeout": "5s",
}

// silence is how long a connection may say nothing while an answer is due.
const silence = 10 * time.Second

// Connect makes a pool of at most conns connections for an API. It does not connect yet. Before, if not nil, is called before
// each connection, to give it a password that has changed.
func Connect(ctx context.Context, url string, conns int32, before func(context.Context, *pgx.ConnConfig) error) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil || url == "" { // the parser would take none for the local default
		return nil, fmt.Errorf("database URL %s: want postgres://user@host:port/readmodel", ops.Redact(url)) // err may hold the password
	}
	for name, value := range settings {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	config.MaxConns, config.BeforeConnect = conns, before
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.ConnConfig.DialFunc = ops.Dialer(silence).DialContext
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{ // times are shown as they are read
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	return pgxpool.NewWithConfig(ctx, config)
}
