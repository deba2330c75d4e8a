package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

// Orders returns the URL, a superuser's, of a fresh database with the orders schema and its seed. At the end of the test
// the slots in it and the database are dropped.
func Orders(t testing.TB) string {
	t.Helper()
	return create(t, ordersTemplate)
}

// ReadModel returns the URL, a superuser's, of a fresh database with the read model's schema.
func ReadModel(t testing.TB) string {
	t.Helper()
	return create(t, readModelTemplate)
}

// Empty returns the URL, a superuser's, of a fresh database with nothing in it.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, emptyTemplate)
}

// Settings of every Postgres that is started here. fsync is off because no test pulls the plug; a killed process loses
// nothing by it.
var settings = map[string]string{
	"wal_level":                 "logical",
	"max_replication_slots":     "50",
	"max_wal_senders":           "50",
	"max_connections":           "300",
	"max_prepared_transactions": "10",
	"fsync":                     "off",
	"full_page_writes":          "off",
	"checkpoint_timeout":        "30min",
}

// A template is a database that tests' databases are copied from: some 40 ms, where migrating takes several times that.
type template func(ctx context.Context) (name string, err error)

var (
	emptyTemplate     template = func(context.Context) (string, error) { return "template0", nil }
	ordersTemplate             = migrated(sql.Orders)
	readModelTemplate          = migrated(sql.ReadModel)
)

// migrated makes the template of a schema when it is first asked for.
func migrated(s sql.Schema) template {
	var (
		mu   sync.Mutex // also lets the second test wait for the first one's migration
		name string
	)
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if name != "" {
			return name, nil
		}
		admin, err := postgres()
		if err != nil {
			return "", err
		}
		made := fmt.Sprintf("template_%s_%d_%d", s.Name, os.Getpid(), time.Now().UnixNano())
		if err := execute(ctx, admin, "CREATE DATABASE "+made); err != nil {
			return "", err
		}
		shared.add(func(ctx context.Context) error { return drop(ctx, admin, made) })
		if err := migrate.Up(ctx, withDatabase(admin, made), s); err != nil {
			return "", err
		}
		name = made
		return name, nil
	}
}

func create(t testing.TB, from template) string {
	t.Helper()
	admin, err := postgres()
	if err != nil {
		t.Fatalf("no Postgres for the tests: %v", err)
	}
	source, err := from(t.Context())
	if err != nil {
		t.Fatalf("template database: %v", err)
	}
	name := Name(t)
	if err := execute(t.Context(), admin, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, source)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := drop(ctx, admin, name); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return withDatabase(admin, name)
}

// postgres returns the shared server's superuser URL, and starts the server if that has to be done.
var postgres = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("TEST_DATABASE_URL"); given != "" {
		return given, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	admin, err := privatePostgres(ctx)
	if err == nil {
		return admin, nil
	}
	admin, errDocker := dockerPostgres(ctx)
	if errDocker != nil {
		return "", fmt.Errorf("no private server (%w), no container (%w): set TEST_DATABASE_URL", err, errDocker)
	}
	return admin, nil
})

func privatePostgres(ctx context.Context) (string, error) {
	dir, remove, err := scratch()
	if err != nil {
		return "", err
	}
	s, err := pgserver.Start(ctx, pgserver.Config{
		Dir: dir, Version: os.Getenv("PG_VERSION"), Settings: settings, Progress: progress,
	})
	if err != nil {
		return "", errors.Join(err, remove())
	}
	shared.add(func(ctx context.Context) error { return errors.Join(s.Stop(ctx, pgserver.Immediate), remove()) })
	return s.URL(pgserver.Superuser, "postgres"), nil
}

// progress tells whoever waits for a first run what it waits for. It goes to the terminal: no test's log is seen in time.
func progress(s string) { fmt.Fprintln(os.Stderr, "testenv:", s) }

const dropSlots = `
SELECT pg_drop_replication_slot(slot_name)
FROM pg_replication_slots
WHERE database = $1`

// A walsender that was told to end still holds its slot for a moment.
const terminateSenders = `
SELECT pg_terminate_backend(active_pid, 10000)
FROM pg_replication_slots
WHERE database = $1 AND active_pid IS NOT NULL`

const objectInUse = "55006" // SQLSTATE

// drop drops a database after the slots in it, which would otherwise keep it, and after everyone's sessions.
func drop(ctx context.Context, admin, name string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing was written through it that an error could lose
	for {
		if _, err := conn.Exec(ctx, terminateSenders, name); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, dropSlots, name)
		if err == nil {
			break
		}
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != objectInUse {
			return err
		}
	}
	_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	return err
}

func execute(ctx context.Context, url, statement string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func withDatabase(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(fmt.Sprintf("testenv: TEST_DATABASE_URL is no URL: %v", errors.Unwrap(err)))
	}
	u.Path = "/" + name
	return u.String()
}
