package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// share is a part of a table's rows, as COPY has them, in a file.
type share struct {
	table string
	path  string
}

// copied measures as many clients as there are partitions that copy the final rows, which were fetched before, each a
// part of every table.
func (x *replays) copied(ctx context.Context, m *readModel) (Pass, error) {
	var lists [topic.Partitions][]share
	var conns [topic.Partitions]*pgx.Conn
	for i := range conns {
		var err error
		if conns[i], err = pgx.Connect(ctx, x.urlOf(m.name)); err != nil {
			return Pass{}, err
		}
		defer conns[i].Close(context.WithoutCancel(ctx)) //nolint:errcheck // what it did is committed
	}
	for _, table := range x.recording.tables {
		for i := range lists {
			p := share{table, filepath.Join(x.dir, fmt.Sprintf("%s-%d", table, i))}
			defer os.Remove(p.path) //nolint:errcheck // the directory is removed at the end
			if err := p.fetch(ctx, x.recorded.conn, i, len(lists)); err != nil {
				return Pass{}, err
			}
			lists[i] = append(lists[i], p)
		}
	}
	if err := m.settle(ctx); err != nil {
		return Pass{}, err
	}
	w := x.watch(os.Getpid())
	g, ctx := errgroup.WithContext(ctx)
	for i, list := range lists {
		g.Go(func() error {
			for _, p := range list {
				if err := p.store(ctx, conns[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Pass{}, err
	}
	return w.pass("COPY", x.Events, int64(len(x.recording.tables)*len(lists))), nil
}

// fetch writes the i-th of n parts of a table to the file: the rows of a range of pages.
func (p share) fetch(ctx context.Context, conn *pgx.Conn, i, n int) error {
	var pages int
	if err := conn.QueryRow(ctx, `SELECT pg_relation_size($1::regclass) / current_setting('block_size')::integer`, p.table).Scan(&pages); err != nil {
		return fmt.Errorf("size of %s: %w", p.table, err)
	}
	file, err := os.OpenFile(p.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = conn.PgConn().CopyTo(ctx, file, fmt.Sprintf(
		`COPY (SELECT * FROM %s WHERE ctid >= '(%d,0)' AND ctid < '(%d,0)') TO STDOUT (FORMAT binary)`, p.table, i*pages/n, (i+1)*pages/n))
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("fetch rows of %s: %w", p.table, err)
	}
	return nil
}

func (p share) store(ctx context.Context, conn *pgx.Conn) error {
	file, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := conn.PgConn().CopyFrom(ctx, file, fmt.Sprintf(`COPY %s FROM STDIN (FORMAT binary)`, p.table)); err != nil {
		return fmt.Errorf("copy rows into %s: %w", p.table, err)
	}
	return nil
}

// transfer copies rows from one database to another.
func transfer(ctx context.Context, from, to *pgx.Conn, query, table string) error {
	out, in := io.Pipe()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		_, err := from.PgConn().CopyTo(ctx, in, fmt.Sprintf(`COPY (%s) TO STDOUT (FORMAT binary)`, query))
		return errors.Join(err, in.CloseWithError(err))
	})
	g.Go(func() error {
		_, err := to.PgConn().CopyFrom(ctx, out, fmt.Sprintf(`COPY %s FROM STDIN (FORMAT binary)`, table))
		return errors.Join(err, out.CloseWithError(err))
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("copy rows of %s: %w", table, err)
	}
	return nil
}
