package app

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// passwords makes a directory of them.
func passwords(t *testing.T, of map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, password := range of {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// may logs in to a database and runs a statement.
func may(t *testing.T, address, user, password, statement string) error {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		return err
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the statement is what matters
	_, err = conn.Exec(t.Context(), statement)
	return err
}

// newDatabases are the URLs of two that do not exist yet, on the tests' server.
func newDatabases(t *testing.T) (orders, readModel string) {
	t.Helper()
	empty := testenv.Empty(t)
	u, err := url.Parse(empty)
	if err != nil {
		t.Fatal(err)
	}
	base := u.Path
	var made []string
	for _, suffix := range []string{"_o", "_r"} {
		u.Path = base + suffix
		made = append(made, u.String())
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		conn, err := pgx.Connect(ctx, empty)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx) //nolint:errcheck // the databases are gone or the test fails
		for _, suffix := range []string{"_o", "_r"} {
			if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{base[1:] + suffix}.Sanitize()+" WITH (FORCE)"); err != nil {
				t.Error(err)
			}
		}
		for _, role := range []string{"orders_api", "relay", "projector", "query", "auditor"} {
			if _, err := conn.Exec(ctx, "DROP ROLE IF EXISTS "+role); err != nil {
				t.Error(err)
			}
		}
	})
	return made[0], made[1]
}

func TestMigrateMakesDatabasesAndLoginsThatMayDoTheirOwnPartOnly(t *testing.T) {
	t.Parallel()
	orders, readModel := newDatabases(t)
	secrets := map[string]string{"orders_api": "a", "relay": "b'\\ ", "projector": "c", "query": "e", "auditor": "d"}
	migrate := func(dir string) string {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"migrate", "--create", "--logins", dir, "--orders-url", orders, "--readmodel-url", readModel}, &out, &out); err != nil {
			t.Fatalf("%v; printed:\n%s", err, out.String())
		}
		return out.String()
	}
	if out := migrate(passwords(t, secrets)); !strings.Contains(out, "orders: logins orders_api, relay, auditor\n") ||
		!strings.Contains(out, "readmodel: logins projector, query, auditor\n") {
		t.Errorf("printed:\n%s", out)
	}
	for _, tt := range []struct{ url, user, can, cannot string }{
		{orders, "orders_api", `SELECT FROM outbox`, `DELETE FROM outbox`},
		{orders, "relay", `SELECT FROM outbox`, `SELECT FROM customers`},
		{readModel, "projector", `SELECT FROM projection_offsets`, `DROP TABLE order_timeline`},
		{readModel, "query", `SELECT FROM order_timeline`, `DELETE FROM kitchen_board`},
		{orders, "auditor", `SELECT FROM orders`, `INSERT INTO idempotency_keys DEFAULT VALUES`},
		{readModel, "auditor", `SELECT FROM order_summary`, `UPDATE order_summary SET version = 1`},
	} {
		if err := may(t, tt.url, tt.user, secrets[tt.user], tt.can); err != nil {
			t.Errorf("%s: %s: %v", tt.user, tt.can, err)
		}
		if may(t, tt.url, tt.user, secrets[tt.user], tt.cannot) == nil {
			t.Errorf("%s may %s", tt.user, tt.cannot)
		}
	}

	// Again, with a new password for one.
	migrate(passwords(t, map[string]string{"orders_api": "new", "projector": "c"}))
	if err := may(t, orders, "orders_api", "new", `SELECT`); err != nil {
		t.Errorf("with the new password: %v", err)
	}
	if may(t, orders, "orders_api", "a", `SELECT`) == nil {
		t.Error("the old password still opens")
	}
}

func TestMigrateSaysWhichPasswordIsMissing(t *testing.T) {
	t.Parallel()
	for want, dir := range map[string]string{
		"there is no password in": passwords(t, nil),
		"password of relay:":      passwords(t, map[string]string{"relay": ""}),
		"is not printable ASCII":  passwords(t, map[string]string{"orders_api": "ñ"}),
	} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"migrate", "--logins", dir, "--orders-url", testenv.Orders(t)}, &out, &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{"migrate", "down", "--yes", "--create", "--orders-url", testenv.Orders(t)}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "are for up") {
		t.Errorf("down with --create: got %v", err)
	}
}
