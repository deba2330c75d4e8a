package testenv_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestDatabasesAreMigratedAndNobodyElses(t *testing.T) {
	t.Parallel()
	a, b := connect(t, testenv.Orders(t)), connect(t, testenv.Orders(t))
	if err := sql.Check(t.Context(), a, sql.Orders); err != nil {
		t.Error(err)
	}
	if _, err := a.Exec(t.Context(), "DELETE FROM menu_items"); err != nil {
		t.Fatal(err)
	}
	var items int
	if err := b.QueryRow(t.Context(), "SELECT count(*) FROM menu_items").Scan(&items); err != nil || items != 20 {
		t.Errorf("got %d items, %v; want the 20 of the seed", items, err)
	}
	if err := sql.Check(t.Context(), connect(t, testenv.ReadModel(t)), sql.ReadModel); err != nil {
		t.Error(err)
	}
	if err := sql.Check(t.Context(), connect(t, testenv.Empty(t)), sql.Orders); err == nil {
		t.Error("the empty database has a schema")
	}
}

func TestDatabaseWithASlotGoesWithItsTest(t *testing.T) { //nolint:tparallel // the end of its subtest is waited for
	t.Parallel()
	slot := testenv.Name(t)
	t.Run("use", func(t *testing.T) {
		_, err := connect(t, testenv.Orders(t)).Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
		if err != nil {
			t.Fatal(err)
		}
	})
	var left int
	err := connect(t, testenv.Empty(t)).QueryRow(t.Context(),
		"SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", slot).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("got %d slots, %v; want 0", left, err)
	}
}

func TestNameIsAnIdentifierOfItsOwn_WhateverTheTestIsCalled(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z0-9_]{1,50}$`)
	for _, name := range []string{"short", "Ünïcödé / spaces; DROP TABLE", strings.Repeat("long", 50)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := testenv.Name(t), testenv.Name(t)
			if !form.MatchString(a) || a == b {
				t.Errorf("got %q and %q, want two different ones of %s", a, b, form)
			}
		})
	}
}

func TestTopicsAreFresh(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	if testenv.Topic(t, brokers, 3) == testenv.Topic(t, brokers, 1) {
		t.Error("the same topic twice")
	}
}

func TestBuildGivesARunnableProgram(t *testing.T) {
	t.Parallel()
	path := testenv.Build(t, "internal/testenv/kafka")
	if again := testenv.Build(t, "internal/testenv/kafka"); again != path {
		t.Errorf("built twice: %s and %s", path, again)
	}
	out, err := exec.CommandContext(t.Context(), path, "nonsense").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "usage: kafka") {
		t.Errorf("got %q, %v; want the usage and exit code 1", out, err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) }) //nolint:errcheck // the database is dropped anyway
	return conn
}
