package app

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestANewPasswordOpensTheNextConnection(t *testing.T) {
	t.Parallel()
	address, role := testenv.Empty(t), testenv.Name(t)
	admin, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context()) //nolint:errcheck // the test is over
	execute := func(statement string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "password")
	give := func(password string) {
		t.Helper()
		execute(fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, password))
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	execute("CREATE ROLE " + role + " LOGIN")
	defer execute("DROP ROLE " + role)
	give("old")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	pool, err := runFlags{DatabaseURL: u.String(), DatabaseFlags: ops.DatabaseFlags{PasswordFile: file}, Connections: 1}.pool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	give("new")
	pool.Reset()
	if err := pool.Ping(t.Context()); err != nil {
		t.Errorf("after the password was changed: %v", err)
	}
}
