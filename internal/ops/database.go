package ops

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DatabaseFlags are the kong flags of a program that logs in to a database.
type DatabaseFlags struct {
	PasswordFile string `name:"database-password-file" help:"File that holds the password of the database's login, so that it need not be in the URL." env:"DATABASE_PASSWORD_FILE" placeholder:"FILE"`
}

// Login returns the connection string, a URL or libpq's keyword=value form, with the password of the file in it; without
// a file, as it is. The file is read at each call: a password that was replaced is used from the next connection on.
// What it returns must not be shown.
func (f DatabaseFlags) Login(conn string) (string, error) {
	if f.PasswordFile == "" {
		return conn, nil
	}
	password, err := Secret(f.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("--database-password-file: %w", err)
	}
	if !strings.Contains(conn, "://") {
		return conn + " password='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password) + "'", nil
	}
	u, err := url.Parse(conn)
	if err != nil || u.User == nil {
		return "", fmt.Errorf("the database URL %s must name a user, postgres://USER@HOST:PORT/DATABASE, as --database-password-file is given", Redact(conn))
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// BeforeConnect gives a pool's next connection the password that the file holds now (pgxpool.Config.BeforeConnect).
func (f DatabaseFlags) BeforeConnect(_ context.Context, config *pgx.ConnConfig) (err error) {
	if f.PasswordFile == "" {
		return nil
	}
	if config.Password, err = Secret(f.PasswordFile); err != nil {
		return fmt.Errorf("--database-password-file: %w", err)
	}
	return nil
}

// Secret returns what a file holds, without the line end that editors leave.
func Secret(file string) (string, error) {
	text, err := os.ReadFile(file)
	return strings.TrimRight(string(text), "\r\n"), err
}
