package migrate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestUpDownUpLeavesTheSameCatalogue(t *testing.T) {
	t.Parallel()
	for _, s := range []sql.Schema{sql.Orders, sql.ReadModel} {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			url := testenv.Empty(t)
			up := func() {
				t.Helper()
				if err := migrate.Up(t.Context(), url, s); err != nil {
					t.Fatal(err)
				}
			}
			before := catalogue(t, url)
			up()
			first := catalogue(t, url)
			if cmp.Equal(before, first) {
				t.Fatal("the catalogue does not show what Up did")
			}
			if err := migrate.Down(t.Context(), url, s); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, catalogue(t, url)); diff != "" {
				t.Errorf("Down left something behind (-before +after):\n%s", diff)
			}
			if granted := grantsOnBookkeeping(t, url); granted != 0 {
				t.Errorf("Down left %d grants on schema_migrations", granted)
			}
			up()
			if diff := cmp.Diff(first, catalogue(t, url)); diff != "" {
				t.Errorf("the second Up made something else (-first +second):\n%s", diff)
			}
			up() // and once more, with nothing to do
		})
	}
}

// selectCatalogue lists all that a migration can make in a database, as text, without what golang-migrate itself makes.
// Access lists are sorted: their order says only in which order the grants were given.
const selectCatalogue = `
WITH mine AS (
    SELECT c.*
    FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace
        AND c.relname NOT LIKE 'schema_migrations%'
)
SELECT format('schema %s owner %s %s', nspname, nspowner::regrole, (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(nspacl) AS a))
FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT format('relation %s kind %s owner %s %s %s', relname, relkind, relowner::regrole, reloptions,
    (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(relacl) AS a))
FROM mine
UNION ALL
SELECT format('column %s.%s %s not null %s identity %s default %s %s', mine.relname, attname, format_type(atttypid, atttypmod),
    attnotnull, attidentity, pg_get_expr(d.adbin, d.adrelid), (SELECT array_agg(x::text ORDER BY x::text) FROM unnest(attacl) AS x))
FROM pg_attribute AS a
JOIN mine ON mine.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT format('constraint %s on %s: %s', conname, mine.relname, pg_get_constraintdef(k.oid))
FROM pg_constraint AS k
JOIN mine ON mine.oid = k.conrelid
UNION ALL
SELECT 'index ' || pg_get_indexdef(oid)
FROM mine
WHERE relkind = 'i'
UNION ALL
SELECT format('view %s: %s', relname, pg_get_viewdef(oid))
FROM mine
WHERE relkind IN ('v', 'm')
UNION ALL
SELECT format('function %s', pg_get_functiondef(oid))
FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT format('trigger %s', pg_get_triggerdef(oid))
FROM pg_trigger
WHERE NOT tgisinternal
UNION ALL
SELECT format('type %s', typname)
FROM pg_type
WHERE typnamespace = 'public'::regnamespace AND typname !~ 'schema_migrations'
UNION ALL
SELECT format('publication %s owner %s %s%s%s%s', pubname, pubowner::regrole, pubinsert, pubupdate, pubdelete, pubtruncate)
FROM pg_publication
UNION ALL
SELECT format('publication %s of %s', pubname, tablename)
FROM pg_publication_tables
ORDER BY 1`

func catalogue(t *testing.T, url string) []string {
	t.Helper()
	conn := connect(t, url)
	rows, err := conn.Query(t.Context(), selectCatalogue)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// grantsOnBookkeeping counts what others than its owner may do with golang-migrate's own table, which outlives Down.
func grantsOnBookkeeping(t *testing.T, url string) (n int) {
	t.Helper()
	err := connect(t, url).QueryRow(t.Context(), `
SELECT count(*)
FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relname = 'schema_migrations' AND a.grantee <> c.relowner`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMigrationsAtOnceDoEachFileOnce(t *testing.T) {
	t.Parallel()
	url := testenv.Empty(t)
	var all errgroup.Group
	for range 4 {
		all.Go(func() error { return migrate.Up(t.Context(), url, sql.Orders) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := sql.Check(t.Context(), connect(t, url), sql.Orders); err != nil {
		t.Error(err)
	}
}

// Roles belong to the cluster: migrations of several databases meet in making and granting them.
func TestMigrationsOfSeveralDatabasesAtOnceShareTheRoles(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	admin := connect(t, cluster.URL("postgres"))
	var all errgroup.Group
	for _, name := range []string{"a", "b", "c", "d"} {
		if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		all.Go(func() error {
			return errors.Join(migrate.Up(t.Context(), cluster.URL(name), sql.Orders), migrate.Down(t.Context(), cluster.URL(name), sql.Orders))
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}

func TestFileThatFailsTakesNoEffectAndSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	url := testenv.Empty(t)
	broken := sql.Schema{Name: "broken", Newest: 2, Files: fstest.MapFS{
		"0001_a.up.sql": {Data: []byte("CREATE TABLE a ();")},
		"0002_b.up.sql": {Data: []byte("CREATE TABLE b ();\nCREATE TABLE a ();")},
	}}
	err := migrate.Up(t.Context(), url, broken)
	if err == nil || !strings.Contains(err.Error(), `relation "a" already exists`) || !strings.Contains(err.Error(), "migrate broken: ") {
		t.Fatalf("got %v, want what Postgres said", err)
	}
	var made bool
	conn := connect(t, url)
	if err := conn.QueryRow(t.Context(), "SELECT to_regclass('b') IS NOT NULL").Scan(&made); err != nil || made {
		t.Errorf("the first half of the file took effect (%v)", err)
	}

	const remedy = "UPDATE schema_migrations SET version = <2 if it did, 1 if it did not>, dirty = false"
	err = migrate.Up(t.Context(), url, broken)
	if err == nil || !strings.Contains(err.Error(), remedy) {
		t.Fatalf("got %v, want the remedy %q", err, remedy)
	}
	if _, err := conn.Exec(t.Context(), "UPDATE schema_migrations SET version = 1, dirty = false"); err != nil {
		t.Fatal(err)
	}
	mended := sql.Schema{Name: "broken", Newest: 2, Files: fstest.MapFS{
		"0001_a.up.sql": {Data: []byte("CREATE TABLE a ();")},
		"0002_b.up.sql": {Data: []byte("CREATE TABLE b ();")},
	}}
	if err := migrate.Up(t.Context(), url, mended); err != nil {
		t.Errorf("the remedy does not help: %v", err)
	}
}

func TestUpStopsAfterTheRunningFileWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	url := testenv.Empty(t)
	s := sql.Schema{Name: "slow", Newest: 2, Files: fstest.MapFS{
		"0001_a.up.sql": {Data: []byte("SELECT pg_advisory_xact_lock(1);\nCREATE TABLE a ();")},
		"0002_b.up.sql": {Data: []byte("CREATE TABLE b ();")},
	}}
	holder := connect(t, url)
	exec := func(statement string) {
		t.Helper()
		if _, err := holder.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("SELECT pg_advisory_lock(1)")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- migrate.Up(ctx, url, s) }()
	for waiting := false; !waiting; { // until the first file runs
		const selectWaiting = `
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`
		if err := holder.QueryRow(t.Context(), selectWaiting).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	exec("SELECT pg_advisory_unlock(1)")
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	var a, b bool
	err := holder.QueryRow(t.Context(), "SELECT to_regclass('a') IS NOT NULL, to_regclass('b') IS NOT NULL").Scan(&a, &b)
	if err != nil || !a || b {
		t.Errorf("got a %t, b %t, %v; want the first file whole and the second not at all", a, b, err)
	}
}

func TestSchemaOfANewerProgramIsLeftAlone(t *testing.T) {
	t.Parallel()
	url := testenv.Orders(t)
	if _, err := connect(t, url).Exec(t.Context(), "UPDATE schema_migrations SET version = 9000"); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(context.Context, string, sql.Schema) error{"Up": migrate.Up, "Down": migrate.Down} {
		err := run(t.Context(), url, sql.Orders)
		if err == nil || !strings.Contains(err.Error(), "version 9000") || !strings.Contains(err.Error(), "take the newer one") {
			t.Errorf("%s: got %v, want what to do", name, err)
		}
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://someone:hunter2@127.0.0.1:1/orders", // nothing listens there
		"postgres://someone:hunter2@127.0.0.1:notaport/orders",
	} {
		err := migrate.Up(t.Context(), url, sql.Orders)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want an error without the password", err)
		}
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) }) //nolint:errcheck // the database is dropped anyway
	return conn
}
