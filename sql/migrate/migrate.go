// Package migrate brings a database to a schema of package sql, with golang-migrate.
//
// It promises that migrations running at once do each file once (the others wait on an advisory lock and find it done),
// and that each file takes effect whole or not at all: it is sent as one statement list, which Postgres runs as one
// transaction. It does not promise that a process killed between a file and the note that it is done leaves a clean
// version: the next run then stops, and says how to go on.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	driver "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// Up applies what is missing of the schema to the database at the URL. It does nothing if nothing is missing.
// When ctx ends it stops after the file that is running.
func Up(ctx context.Context, url string, s sql.Schema) error { return run(ctx, url, s, +1) }

// Down takes the whole schema away, data included. Roles stay: they belong to the cluster.
// When ctx ends it stops after the file that is running.
func Down(ctx context.Context, url string, s sql.Schema) error { return run(ctx, url, s, -1) }

// run goes file by file in a direction, and not with the library's own Up and Down: stopping those between two files is a
// data race in the library, and leaves its goroutines behind.
func run(ctx context.Context, url string, s sql.Schema, direction int) (err error) {
	m, err := open(ctx, url, s)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", s.Name, err)
	}
	defer func() {
		fromSource, fromDatabase := m.Close()
		err = errors.Join(err, fromSource, fromDatabase)
	}()
	for ctx.Err() == nil {
		err := m.Steps(direction)
		if err == os.ErrNotExist { //nolint:errorlint // bare, it says that no file is left; wrapped, that one is missing
			return nil
		}
		if err != nil {
			return explain(s, err)
		}
	}
	return fmt.Errorf("migrate %s: %w", s.Name, ctx.Err())
}

func open(ctx context.Context, url string, s sql.Schema) (*migrate.Migrate, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	db := stdlib.OpenDB(*config)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	target, err := driver.WithInstance(db, &driver.Config{})
	if err = errors.Join(err, conn.Close()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	source, err := iofs.New(s.Files, ".")
	if err != nil {
		return nil, errors.Join(err, target.Close())
	}
	m, err := migrate.NewWithInstance("iofs", source, "pgx5", target)
	if err != nil {
		return nil, errors.Join(err, source.Close(), target.Close())
	}
	m.LockTimeout = lockTimeout
	return m, nil
}

// lockTimeout is how long to wait for another migration of the same database.
const lockTimeout = time.Minute

// explain says which migration failed, where, and what to do next.
func explain(s sql.Schema, err error) error {
	if dirty, ok := errors.AsType[migrate.ErrDirty](err); ok {
		return fmt.Errorf("migrate %s: migration %d broke off, and it is not known whether it took effect: look, and then run "+
			"UPDATE schema_migrations SET version = <%d if it did, %d if it did not>, dirty = false; and migrate again",
			s.Name, dirty.Version, dirty.Version, dirty.Version-1)
	}
	if failed, ok := errors.AsType[database.Error](err); ok {
		return fmt.Errorf("migrate %s: line %d of %.60q...: %w", s.Name, failed.Line, failed.Query, failed.OrigErr)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("migrate %s: %w: this program knows versions up to %d, so take the newer one that made this schema",
			s.Name, err, s.Newest)
	}
	return fmt.Errorf("migrate %s: %w", s.Name, err)
}
