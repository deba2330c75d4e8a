package app

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

type migrateCmd struct {
	Direction    string `arg:"" optional:"" help:"up, or down, which drops all data (${default})." default:"up" enum:"up,down"`
	OrdersURL    string `help:"Orders database, as a superuser or a member of orders_owner." env:"ORDERS_DATABASE_URL" placeholder:"URL"`
	ReadmodelURL string `help:"Read model's database, as its owner." env:"READMODEL_DATABASE_URL" placeholder:"URL"`
	Yes          bool   `help:"Confirm that down may drop all data." env:"FOODCTL_YES"`
}

// Help is what `foodctl migrate --help` says beside the flags.
func (migrateCmd) Help() string {
	return `Runs what is missing of the schema, and prints the versions. Of the two URLs, only what is given is migrated. The
databases must exist; "foodctl up" makes them itself. Running it again, or twice at once, does no harm.`
}

// Run migrates the given databases.
func (c *migrateCmd) Run(ctx context.Context, out io.Writer) error {
	if c.OrdersURL == "" && c.ReadmodelURL == "" {
		return fmt.Errorf("nothing to migrate: give --orders-url, --readmodel-url or both")
	}
	if c.Direction == "down" && !c.Yes {
		return fmt.Errorf("down drops all data: add --yes if that is meant")
	}
	for _, d := range []struct {
		url    string
		schema sql.Schema
	}{{c.OrdersURL, sql.Orders}, {c.ReadmodelURL, sql.ReadModel}} {
		if d.url == "" {
			continue
		}
		if err := c.migrate(ctx, out, d.url, d.schema); err != nil {
			return err
		}
	}
	return nil
}

func (c *migrateCmd) migrate(ctx context.Context, out io.Writer, url string, s sql.Schema) error {
	if c.Direction == "down" {
		if err := migrate.Down(ctx, url, s); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: dropped\n", s.Name)
		return nil
	}
	before, err := version(ctx, url)
	if err != nil {
		return fmt.Errorf("%s database: %w", s.Name, err)
	}
	if err := migrate.Up(ctx, url, s); err != nil {
		return err
	}
	after, err := version(ctx, url)
	if err != nil {
		return fmt.Errorf("%s database: %w", s.Name, err)
	}
	fmt.Fprintf(out, "%s: version %d (was %d)\n", s.Name, after, before)
	return nil
}

// version is the version of the database's schema, 0 for none.
func version(ctx context.Context, url string) (v int64, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass('schema_migrations') IS NOT NULL`).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_migrations`).Scan(&v)
	return v, err
}
