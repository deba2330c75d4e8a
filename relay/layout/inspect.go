package layout

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Column is a column as the catalogue has it.
type Column struct {
	Field

	NotNull bool
}

const selectColumns = `
SELECT a.attname::text, a.atttypid::oid, a.attnotnull
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped`

// Inspect returns the columns of a table; none if there is no such table.
func Inspect(ctx context.Context, conn *pgx.Conn, t Table) ([]Column, error) {
	rows, err := conn.Query(ctx, selectColumns, t.Schema, t.Name)
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", t, err)
	}
	columns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Column, err error) {
		return c, row.Scan(&c.Name, &c.Type, &c.NotNull)
	})
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", t, err)
	}
	return columns, nil
}

// Fits returns an error that wraps ErrTable if a table with these columns is not one of the layout's.
func (l *Layout) Fits(t Table, columns []Column) error {
	var fields []Field
	named := make(map[string]bool)
	for _, c := range columns {
		fields = append(fields, c.Field)
		named[c.Name] = true
	}
	if _, err := l.Bind(t.String(), fields); err != nil {
		return err
	}
	for _, name := range l.Others() {
		if !named[name] {
			return fmt.Errorf("%w: table %s has no column %q, which relay.order.by or relay.prune.by names", ErrTable, t, name)
		}
	}
	return nil
}
