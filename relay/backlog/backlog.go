// Package backlog reads the outbox as a table: what was written before there was a slot, or what a lost slot or topic has
// to be filled up from.
//
// It promises every row of one snapshot, once, table by table, in the order of the layout's column, with memory for one row at
// a time. In the orders database that is seq, whose order is the commit order for the events of one order, whose transactions
// wait for each other; between orders it is not, and which transaction a row came from is not known.
package backlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// Reader reads the tables in one transaction.
type Reader struct {
	conn   *pgx.Conn
	tx     pgx.Tx
	layout *layout.Layout
}

// Open begins a transaction that sees what a snapshot does, which pg_export_snapshot or the making of a slot exported.
func Open(ctx context.Context, url, snapshot string, l *layout.Layout) (*Reader, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"application_name":                    "relay-load",
		"datestyle":                           "ISO",
		"timezone":                            "UTC",
		"bytea_output":                        "hex",
		"idle_in_transaction_session_timeout": "0",
		"statement_timeout":                   "0", // it reads as long as Kafka takes to write
		"enable_sort":                         "off",
		"enable_seqscan":                      "off", // the first row comes at once, and no copy of the table is sorted
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
	return &Reader{conn: conn, tx: tx, layout: l}, nil
}

// Close ends the transaction.
func (r *Reader) Close(ctx context.Context) {
	_ = r.conn.Close(ctx) // nothing was written
}

// ErrUnordered means that there are rows, and nothing says in which order they were committed.
var ErrUnordered = errors.New("the outbox tables have rows from before the slot, and no order to publish them in: set relay.order.by to a " +
	"column that grows from commit to commit of a key; or, at a first start, snapshot.mode to no_data, if they need not be published")

// Rows calls f with each row, whose memory is f's until it returns. It stops at f's error and returns it.
func (r *Reader) Rows(ctx context.Context, f func(outbox.Row) error) error {
	by := ""
	if r.layout.Order != "" {
		by = " ORDER BY " + pgx.Identifier{r.layout.Order}.Sanitize()
	}
	return r.tables(ctx, "*", by, func(table layout.Table, rows pgx.Rows) error {
		var fields []layout.Field
		for _, d := range rows.FieldDescriptions() {
			fields = append(fields, layout.Field{Name: d.Name, Type: d.DataTypeOID})
		}
		binding, err := r.layout.Bind(table.String(), fields)
		if err != nil {
			return err
		}
		for rows.Next() {
			row, err := binding.Row(rows.RawValues())
			if err == nil {
				err = f(row)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Ordered returns ErrUnordered if the rows cannot be published, because nothing says in which order they were committed.
func (r *Reader) Ordered() error {
	if r.layout.Order == "" {
		return ErrUnordered
	}
	return nil
}

// Count is the number of rows.
func (r *Reader) Count(ctx context.Context) (n int64, err error) {
	err = r.tables(ctx, "count(*)", "", func(_ layout.Table, rows pgx.Rows) error {
		for rows.Next() {
			var of int64
			if err := rows.Scan(&of); err != nil {
				return err
			}
			n += of
		}
		return nil
	})
	return n, err
}

// IDs calls f with the id of each row.
func (r *Reader) IDs(ctx context.Context, f func(id []byte)) error {
	return r.values(ctx, pgx.Identifier{r.layout.ID()}.Sanitize(), f)
}

// Routes calls f with each value that routes.
func (r *Reader) Routes(ctx context.Context, f func(value []byte)) error {
	return r.values(ctx, "DISTINCT "+pgx.Identifier{r.layout.RouteBy()}.Sanitize(), f)
}

func (r *Reader) values(ctx context.Context, what string, f func([]byte)) error {
	return r.tables(ctx, what, "", func(_ layout.Table, rows pgx.Rows) error {
		for rows.Next() {
			f(rows.RawValues()[0])
		}
		return nil
	})
}

// tables asks each table for the same, and has each read the answer, as text.
func (r *Reader) tables(ctx context.Context, what, by string, each func(layout.Table, pgx.Rows) error) error {
	for _, table := range r.layout.Tables {
		rows, err := r.tx.Query(ctx, "SELECT "+what+" FROM "+table.Quoted()+by, pgx.QueryResultFormats{pgx.TextFormatCode})
		if err == nil {
			err = each(table, rows)
			rows.Close()
			err = cmp.Or(err, rows.Err())
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
	}
	return nil
}
