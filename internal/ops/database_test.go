package ops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestThePasswordOfTheFileIsTheLogins(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	const password = `it's /a\ @#? "one"` // what URLs and keyword strings give a meaning to
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := DatabaseFlags{PasswordFile: file}
	for _, conn := range []string{
		"postgres://relay@db:5433/orders?sslmode=disable",
		"postgres://relay:other@db:5433/orders?sslmode=disable",
		"host=db port=5433 user=relay dbname=orders sslmode=disable",
	} {
		got, err := flags.Login(conn)
		if err != nil {
			t.Errorf("%s: %v", conn, err)
			continue
		}
		config, err := pgconn.ParseConfig(got)
		if err != nil {
			t.Errorf("%s: %v", conn, err)
			continue
		}
		if config.User != "relay" || config.Password != password || config.Host != "db" || config.Port != 5433 || config.Database != "orders" {
			t.Errorf("%s: got %s:%s@%s:%d/%s", conn, config.User, config.Password, config.Host, config.Port, config.Database)
		}
	}
	if got, err := (DatabaseFlags{}).Login("postgres://relay:pw@db/orders"); got != "postgres://relay:pw@db/orders" || err != nil {
		t.Errorf("without a file: got %s, %v", got, err)
	}
}

func TestAPasswordFileThatCannotBeUsedIsSaidByItsFlag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := (DatabaseFlags{PasswordFile: filepath.Join(dir, "none")}).Login("postgres://relay@db/orders"); err == nil ||
		!strings.Contains(err.Error(), "--database-password-file") {
		t.Errorf("no such file: got %v", err)
	}
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := (DatabaseFlags{PasswordFile: file}).Login("postgres://db/orders")
	if err == nil || !strings.Contains(err.Error(), "must name a user") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a URL without a user: got %v", err)
	}
}
