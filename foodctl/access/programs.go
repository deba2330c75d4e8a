package access

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

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
		auditor,
	}
)

// EnsureFrom makes those of the logins whose password is in the directory, in a file of the login's name, and returns
// their names. There must be at least one.
func EnsureFrom(ctx context.Context, conn *pgx.Conn, logins []Login, dir string) (made []string, err error) {
	for _, l := range logins {
		l.Password, err = ops.Secret(filepath.Join(dir, l.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return made, fmt.Errorf("login %s: %w", l.Name, err)
		case l.Password == "":
			return made, fmt.Errorf("login %s: the file of its password in %s is empty", l.Name, dir)
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
