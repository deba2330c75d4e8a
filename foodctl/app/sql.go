package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type sqlCmd struct {
	systemFlags `embed:""`

	Database string `arg:"" help:"Which: orders or readmodel." enum:"orders,readmodel"`
	Query    string `arg:"" help:"The statement." placeholder:"SELECT"`
	JSON     bool   `help:"Print an object per row instead of a table." env:"FOODCTL_JSON" name:"json"`
}

// Help is what `foodctl sql --help` says beside the flags.
func (sqlCmd) Help() string {
	return `Runs one statement in a read-only transaction and prints what it returns, for looks into the databases of foodctl up without psql.
More than one statement is refused. It changes no table; but what a function does beside the tables is done, under foodctl up by a
superuser: slots can be made and dropped, sessions ended.

  foodctl sql orders "SELECT seq, type, version FROM outbox ORDER BY seq DESC LIMIT 5"
  foodctl sql readmodel "SELECT part, next_offset, owner FROM projection_offsets"`
}

// Run runs the statement and prints its rows.
func (c *sqlCmd) Run(ctx context.Context, out io.Writer) error {
	orders, url, err := c.databases(ctx)
	if err != nil {
		return err
	}
	if c.Database == "orders" {
		url = orders
	}
	conn, err := connectToRead(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// The simple protocol would take several statements, of which the first may end the transaction.
		rows, err := tx.Query(ctx, c.Query, pgx.QueryExecModeExec, pgx.QueryResultFormats{pgx.TextFormatCode})
		if err != nil {
			return oneStatement(err)
		}
		table, err := pgx.CollectRows(rows, textRow)
		if err != nil {
			return oneStatement(err)
		}
		names := make([]string, 0, len(rows.FieldDescriptions()))
		for _, f := range rows.FieldDescriptions() {
			names = append(names, f.Name)
		}
		if c.JSON {
			return printObjects(out, names, table)
		}
		return printTable(out, names, table)
	})
}

// connectToRead makes a session whose transactions are read-only, whoever begins them.
func connectToRead(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["default_transaction_read_only"] = "on"
	return pgx.ConnectConfig(ctx, config)
}

// oneStatement says what is wrong with several statements, of which Postgres says only that it cannot prepare them.
func oneStatement(err error) error {
	const syntaxError = "42601"
	if e, is := errors.AsType[*pgconn.PgError](err); is && e.Code == syntaxError && strings.Contains(e.Message, "multiple commands") {
		return fmt.Errorf("give one statement; nothing was run: %w", err)
	}
	return err
}

// textRow is a row as the text that Postgres sends, nil for NULL.
func textRow(row pgx.CollectableRow) (cells []*string, err error) {
	for _, raw := range row.RawValues() {
		if raw == nil {
			cells = append(cells, nil)
			continue
		}
		text := string(raw)
		cells = append(cells, &text)
	}
	return cells, nil
}

func printObjects(out io.Writer, names []string, table [][]*string) error {
	for _, cells := range table {
		object := make(map[string]*string, len(names))
		for i, name := range names {
			object[name] = cells[i]
		}
		if err := json.NewEncoder(out).Encode(object); err != nil {
			return err
		}
	}
	return nil
}

func printTable(out io.Writer, names []string, table [][]*string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(names, "\t"))
	for _, cells := range table {
		texts := make([]string, 0, len(cells))
		for _, cell := range cells {
			texts = append(texts, cellText(cell))
		}
		fmt.Fprintln(w, strings.Join(texts, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	unit := "rows"
	if len(table) == 1 {
		unit = "row"
	}
	_, err := fmt.Fprintf(out, "(%d %s)\n", len(table), unit)
	return err
}

// cellText is a value in one line of a bounded length.
func cellText(cell *string) string {
	const most = 160
	if cell == nil {
		return "NULL"
	}
	text := strings.NewReplacer("\n", " ", "\t", " ").Replace(*cell)
	if utf8.RuneCountInString(text) > most {
		return string([]rune(text)[:most]) + "..."
	}
	return text
}
