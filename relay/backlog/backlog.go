// Package backlog reads the outbox as a table: what was written before there was a slot, or what a lost slot or topic has
// to be filled up from.
//
// It promises every row of one snapshot, once, in the order of seq, with memory for one row at a time. That order is the
// commit order for the events of one order, whose transactions wait for each other; between orders it is not, and which
// transaction a row came from is not known.
package backlog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Reader reads the table in one transaction.
type Reader struct {
	conn *pgx.Conn
	tx   pgx.Tx
}

// Open begins a transaction that sees what a snapshot does, which pg_export_snapshot or the making of a slot exported.
func Open(ctx context.Context, url, snapshot string) (*Reader, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"application_name":  "relay-load",
		"datestyle":         "ISO",
		"timezone":          "UTC",
		"statement_timeout": "0", // it reads as long as Kafka takes to write
		"enable_sort":       "off",
		"enable_seqscan":    "off", // the first row comes at once, and no copy of the table is sorted
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		_, err = tx.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+snapshot+"'") // a name that Postgres made; it takes no parameter
	}
	if err != nil {
		_ = conn.Close(ctx)
		return nil, fmt.Errorf("import snapshot %s: %w", snapshot, err)
	}
	return &Reader{conn: conn, tx: tx}, nil
}

// Close ends the transaction.
func (r *Reader) Close(ctx context.Context) {
	_ = r.conn.Close(ctx) // nothing was written
}

// The order is by the column. A bare seq would be the text that is selected under that name, and "10" sorts before "9".
const selectRows = `
SELECT seq::text, id::text, aggregatetype::text, aggregateid::text, type::text, version::text,
       payload::text, headers::text, occurred_at::text
FROM outbox
ORDER BY outbox.seq`

// Rows calls f with each row, whose memory is f's until it returns. It stops at f's error and returns it.
func (r *Reader) Rows(ctx context.Context, f func(outbox.Row) error) error {
	return r.each(ctx, selectRows, func(v [][]byte) error {
		return f(outbox.Row{
			Seq: v[0], ID: v[1], AggregateType: v[2], AggregateID: v[3], Type: v[4], Version: v[5],
			Payload: v[6], Headers: v[7], OccurredAt: v[8],
		})
	})
}

// Count is the number of rows.
func (r *Reader) Count(ctx context.Context) (n int64, err error) {
	if err := r.tx.QueryRow(ctx, "SELECT count(*) FROM outbox").Scan(&n); err != nil {
		return 0, fmt.Errorf("count the outbox: %w", err)
	}
	return n, nil
}

const selectIDs = `
SELECT id::text
FROM outbox
ORDER BY outbox.seq`

// IDs calls f with the id of each row.
func (r *Reader) IDs(ctx context.Context, f func(id []byte)) error {
	return r.each(ctx, selectIDs, func(v [][]byte) error {
		f(v[0])
		return nil
	})
}

// each calls f with each row's values, nil for NULL.
func (r *Reader) each(ctx context.Context, query string, f func([][]byte) error) error {
	rows, err := r.tx.Query(ctx, query, pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return fmt.Errorf("read the outbox: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.RawValues()); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the outbox: %w", err)
	}
	return nil
}
