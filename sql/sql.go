// Package sql holds the schemas of the two databases, as embedded migrations, and the check that a program fits the
// schema it has found.
//
// It promises that a migration is never edited after its release: a change is a new file with the next number. It
// applies nothing; package migrate does, so that the services, which only check, do not link the migration library.
package sql

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed */*.sql
var files embed.FS

// Schema is the migrations of one database.
type Schema struct {
	Name   string // "orders" or "readmodel", as foodctl migrate takes it
	Files  fs.FS  // NNNN_name.up.sql and NNNN_name.down.sql
	Newest uint   // the highest NNNN, which is the version that the programs of this build need
}

// Orders is the source database: the orders, their event log, and the customers and menu that they refer to.
var Orders = schema("orders")

// ReadModel is the projector's database: the read models, and the offsets that they reflect.
var ReadModel = schema("readmodel")

// schema panics if there are no files or a name is not of the form, which what is embedded rules out.
func schema(name string) Schema {
	dir, err := fs.Sub(files, name)
	if err != nil {
		panic(err)
	}
	s := Schema{Name: name, Files: dir}
	ups, err := fs.Glob(dir, "*.up.sql")
	if err != nil {
		panic(err)
	}
	if len(ups) == 0 {
		panic("sql: no migrations of " + name)
	}
	for _, file := range ups {
		number, _, _ := strings.Cut(file, "_")
		v, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			panic(fmt.Sprintf("sql: %s/%s: %v", name, file, err))
		}
		s.Newest = max(s.Newest, uint(v))
	}
	return s
}

// Querier is what Check needs: a *pgx.Conn, a pgx.Tx or a *pgxpool.Pool.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const selectVersion = `
SELECT version, dirty
FROM schema_migrations`

// ErrSchema is wrapped by Check's errors that only a migration can mend.
var ErrSchema = errors.New("wrong schema")

// Check returns nil if the database has the schema at the version that this build needs or a newer one: migrations only
// add to what an older program uses, so that programs can be replaced one by one. Otherwise the error says what to do.
func Check(ctx context.Context, conn Querier, s Schema) error {
	var (
		version int64
		dirty   bool
	)
	err := conn.QueryRow(ctx, selectVersion).Scan(&version, &dirty)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || sqlState(err) == undefinedTable:
		return fmt.Errorf("%w: the database has no %s schema: run foodctl migrate", ErrSchema, s.Name)
	case err != nil:
		return fmt.Errorf("check the %s schema: %w", s.Name, err)
	case dirty:
		return fmt.Errorf("%w: the %s schema is dirty at version %d, a migration broke off: run foodctl migrate, it says what to do",
			ErrSchema, s.Name, version)
	case version < int64(s.Newest):
		return fmt.Errorf("%w: the %s schema is at version %d, this program needs %d: run foodctl migrate", ErrSchema, s.Name, version, s.Newest)
	}
	return nil
}

const undefinedTable = "42P01" // SQLSTATE

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
