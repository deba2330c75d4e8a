package audit

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// key orders the rows of every table that is compared with the events: by order, then by version where there is one.
// Postgres compares uuids byte by byte, as compare does.
type key struct {
	order   uuid.UUID
	version int64
}

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(string(k.order[:]), string(other.order[:])), cmp.Compare(k.version, other.version))
}

// keyed is a row that has a key.
type keyed interface{ key() key }

// cursor walks the rows of a table in the order of their keys, a page in memory at a time. Several can be open in one
// transaction, and all see its snapshot.
type cursor[T keyed] struct {
	tx    pgx.Tx
	table *Table // counts the rows and those that are wrong
	fetch string
	scan  pgx.RowToFunc[T]
	buf   []T
	page  []T // what is left of buf
	done  bool
}

// page is how many rows a cursor holds.
const page = 2000

func openCursor[T keyed](ctx context.Context, tx pgx.Tx, table *Table, query string, scan pgx.RowToFunc[T]) (*cursor[T], error) {
	name := pgx.Identifier{"audit_" + table.Name}.Sanitize()
	if _, err := tx.Exec(ctx, "DECLARE "+name+" NO SCROLL CURSOR FOR "+query); err != nil {
		return nil, fmt.Errorf("read %s: %w", table.Name, err)
	}
	return &cursor[T]{tx: tx, table: table, fetch: fmt.Sprintf("FETCH %d FROM %s", page, name), scan: scan}, nil
}

// head returns the row that the cursor stands at, nil behind the last one.
func (c *cursor[T]) head(ctx context.Context) (*T, error) {
	if len(c.page) == 0 && !c.done {
		rows, _ := c.tx.Query(ctx, c.fetch)
		list, err := pgx.AppendRows(c.buf[:0], rows, c.scan)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", c.table.Name, err)
		}
		c.buf, c.page, c.done = list, list, len(list) < page
	}
	if len(c.page) == 0 {
		return nil, nil //nolint:nilnil // no row and no error is the end
	}
	return &c.page[0], nil
}

// skip steps behind the row that the cursor stands at.
func (c *cursor[T]) skip() {
	c.page = c.page[1:]
	c.table.Rows++
}

// take steps to the row with the key and returns it, or nil if there is none. Rows that it passes are accounted for by no
// event: they go to orphan. Keys must be asked for in ascending order.
func (c *cursor[T]) take(ctx context.Context, want key, orphan func(T)) (*T, error) {
	for {
		row, err := c.head(ctx)
		if row == nil || err != nil {
			return nil, err
		}
		got := *row
		order := got.key().compare(want)
		if order > 0 {
			return nil, nil //nolint:nilnil // there is no such row
		}
		c.skip()
		if order == 0 {
			return &got, nil
		}
		orphan(got)
	}
}

// drain passes the rows behind the last key.
func (c *cursor[T]) drain(ctx context.Context, orphan func(T)) error {
	for {
		row, err := c.head(ctx)
		if row == nil || err != nil {
			return err
		}
		orphan(*row)
		c.skip()
	}
}
