package access

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// The logins of a deployment, by schema. The auditor is who runs foodctl verify.
var (
	auditor = Login{Name: "auditor", Group: "pg_read_all_data"}

	Orders = []Login{
		{Name: "orders_api", Group: "orders_writer"},
		{Name: "relay", Group: "orders_relay", Attributes: "REPLICATION"},
		auditor,
	}
	ReadModel = []Login{
		{Name: "projector", Group: "readmodel_projector"},
		{Name: "query", Group: "readmodel_reader"},
		auditor,
	}
)

// EnsureFrom makes those of the logins whose password is in the directory, in a file of the login's name, and returns
// their names. There must be at least one.
func EnsureFrom(ctx context.Context, conn *pgx.Conn, logins []Login, dir string) (made []string, err error) {
	for _, l := range logins {
		var given bool
		if l.Password, given, err = password(dir, l.Name); err != nil {
			return made, err
		}
		if !given {
			continue
		}
		if err := l.Ensure(ctx, conn); err != nil {
			return made, err
		}
		made = append(made, l.Name)
	}
	if len(made) == 0 {
		return nil, fmt.Errorf("there is no password in %s: give each login a file of its name there (%s, ...)", dir, logins[0].Name)
	}
	return made, nil
}

// password reads the file of a login's password; given is false if there is none. Clients and servers normalise passwords
// that are not ASCII each in its own way (RFC 4013, RFC 8265), so that such a one would open nothing.
func password(dir, name string) (text string, given bool, err error) {
	file := filepath.Join(dir, name)
	text, err = ops.Secret(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("password of %s: %w", name, err)
	case text == "":
		return "", false, fmt.Errorf("password of %s: %s is empty", name, file)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", false, fmt.Errorf("password of %s: %s has a character that is not printable ASCII: choose another", name, file)
	}
	return text, true, nil
}
