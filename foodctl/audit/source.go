package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// connect opens a session that can only read.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "foodctl verify"
	cfg.RuntimeParams["default_transaction_read_only"] = "on"
	cfg.RuntimeParams["timezone"] = "UTC"
	return pgx.ConnectConfig(ctx, cfg)
}

// snapshot begins a transaction that sees one state of the database. cursor_tuple_fraction: all rows will be read, so
// the planner shall not prefer the first ones.
func snapshot(ctx context.Context, conn *pgx.Conn) (pgx.Tx, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, "SET LOCAL cursor_tuple_fraction = 1; SET LOCAL work_mem = '64MB'")
	if err != nil {
		return nil, errors.Join(err, tx.Rollback(ctx))
	}
	return tx, nil
}

const cutSize = `
SELECT (SELECT count(*) FROM outbox), clock_timestamp()`

// cut reads the outbox in one snapshot: these events must reach the topic. The write-ahead log's end is asked for when
// the snapshot has been taken: whatever the snapshot holds was committed below that position.
func cut(ctx context.Context, conn *pgx.Conn) (*events, Source, error) {
	tx, err := snapshot(ctx, conn)
	if err != nil {
		return nil, Source{}, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	var src Source
	if err := tx.QueryRow(ctx, cutSize).Scan(&src.Events, &src.CutAt); err != nil {
		return nil, Source{}, err
	}
	src.CutAt = src.CutAt.UTC()
	if src.CutLSN, err = walEnd(ctx, tx); err != nil {
		return nil, Source{}, err
	}
	found := newEvents(int(src.Events))
	rows, _ := tx.Query(ctx, "SELECT "+outbox.Columns+" FROM outbox")
	if err := eachRow(rows, found.add); err != nil {
		return nil, Source{}, err
	}
	return found, src, nil
}

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// walEnd is the end of the write-ahead log, or on a standby of what it has replayed.
func walEnd(ctx context.Context, db querier) (outbox.LSN, error) {
	const end = `
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text`
	var text string
	if err := db.QueryRow(ctx, end).Scan(&text); err != nil {
		return 0, fmt.Errorf("end of the write-ahead log: %w", err)
	}
	return outbox.ParseLSN(text)
}

// eachRow calls visit for every outbox row, with one row that it uses again and again.
func eachRow(rows pgx.Rows, visit func(*row) error) error {
	var (
		r                row
		payload, headers window
		at               time.Time
	)
	columns := []any{&r.seq, (*[16]byte)(&r.id), (*[16]byte)(&r.order), &r.kind, &r.version, &payload, &headers, &at}
	_, err := pgx.ForEachRow(rows, columns, func() error {
		r.payload, r.headers, r.micros = payload, headers, at.UnixMicro()
		return visit(&r)
	})
	return err
}

// window is a look at the driver's buffer: no copy, and gone with the next row. It implements pgtype.BytesScanner.
type window []byte

// ScanBytes implements pgtype.BytesScanner.
func (w *window) ScanBytes(b []byte) error {
	*w = b
	return nil
}

// lookup visits those of the rows that the outbox has by now.
func lookup(ctx context.Context, db querier, ids []uuid.UUID, visit func(*row) error) error {
	rows, _ := db.Query(ctx, "SELECT "+outbox.Columns+" FROM outbox WHERE id = ANY ($1)", ids)
	return eachRow(rows, visit)
}

// entries reads those of the rows that the outbox has, for telling of them.
func entries(ctx context.Context, db querier, ids []uuid.UUID) (map[uuid.UUID]outbox.Entry, error) {
	rows, _ := db.Query(ctx, "SELECT "+outbox.Columns+" FROM outbox WHERE id = ANY ($1)", ids)
	list, err := pgx.CollectRows(rows, outbox.Scan)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]outbox.Entry, len(list))
	for _, e := range list {
		found[e.ID] = e
	}
	return found, nil
}

// describe names an event for a finding.
func describe(e event.Event) string {
	return fmt.Sprintf("%s, version %d of order %s", e.Type, e.Version, e.Order)
}
