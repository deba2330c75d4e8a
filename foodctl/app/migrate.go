package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

type migrateCmd struct {
	ops.DatabaseFlags `embed:""`

	Direction    string `arg:"" optional:"" help:"up, or down, which drops all data (${default})." default:"up" enum:"up,down"`
	OrdersURL    string `help:"Orders database, as a superuser or a member of orders_owner." env:"ORDERS_DATABASE_URL" placeholder:"URL"`
	ReadmodelURL string `help:"Read model's database, as its owner." env:"READMODEL_DATABASE_URL" placeholder:"URL"`
	Create       bool   `help:"Make the databases, too, if they are not there; as a superuser." env:"FOODCTL_CREATE"`
	Logins       string `help:"Make the programs' logins, too, or give them new passwords; as a superuser. DIR holds the passwords, each in a file of its login's name: orders_api, relay, projector, query, auditor." env:"FOODCTL_LOGINS" type:"path" placeholder:"DIR"`
	Yes          bool   `help:"Confirm that down may drop all data." env:"FOODCTL_YES"`
}

// Help is what `foodctl migrate --help` says beside the flags.
func (migrateCmd) Help() string {
	return `Runs what is missing of the schema, and prints the versions. Of the two URLs, only what is given is migrated. The
databases must exist or --create be given; "foodctl up" makes them itself. Running it again, or twice at once, does no harm.`
}

// database is one of the two.
type database struct {
	url    string
	schema sql.Schema
	logins []access.Login
}

// Run migrates the given databases.
func (c *migrateCmd) Run(ctx context.Context, out io.Writer) error {
	switch {
	case c.OrdersURL == "" && c.ReadmodelURL == "":
		return errors.New("nothing to migrate: give --orders-url, --readmodel-url or both")
	case c.Direction == "down" && !c.Yes:
		return errors.New("down drops all data: add --yes if that is meant")
	case c.Direction == "down" && (c.Create || c.Logins != ""):
		return errors.New("--create and --logins are for up")
	}
	for _, d := range []database{{c.OrdersURL, sql.Orders, access.Orders}, {c.ReadmodelURL, sql.ReadModel, access.ReadModel}} {
		if d.url == "" {
			continue
		}
		var err error
		if d.url, err = c.Login(d.url); err == nil {
			err = c.migrate(ctx, out, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *migrateCmd) migrate(ctx context.Context, out io.Writer, d database) error {
	if c.Direction == "down" {
		if err := migrate.Down(ctx, d.url, d.schema); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: dropped\n", d.schema.Name)
		return nil
	}
	if c.Create {
		if err := create(ctx, d.url); err != nil {
			return fmt.Errorf("%s database: %w", d.schema.Name, err)
		}
	}
	before, err := version(ctx, d.url)
	if err != nil {
		return fmt.Errorf("%s database: %w", d.schema.Name, err)
	}
	if err := migrate.Up(ctx, d.url, d.schema); err != nil {
		return err
	}
	after, err := version(ctx, d.url)
	if err != nil {
		return fmt.Errorf("%s database: %w", d.schema.Name, err)
	}
	fmt.Fprintf(out, "%s: version %d (was %d)\n", d.schema.Name, after, before)
	if c.Logins == "" {
		return nil
	}
	return with(ctx, d.url, func(conn *pgx.Conn) error {
		made, err := access.EnsureFrom(ctx, conn, d.logins, c.Logins)
		if err == nil {
			fmt.Fprintf(out, "%s: logins %s\n", d.schema.Name, strings.Join(made, ", "))
		}
		return err
	})
}

// create makes the database of the URL, over the one that every server has.
func create(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err // pgx leaves the password out
	}
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was done is committed
	return access.CreateDatabase(ctx, conn, name)
}

// version is the version of the database's schema, 0 for none.
func version(ctx context.Context, url string) (v int64, err error) {
	err = with(ctx, url, func(conn *pgx.Conn) error {
		var exists bool
		if err := conn.QueryRow(ctx, `SELECT to_regclass('schema_migrations') IS NOT NULL`).Scan(&exists); err != nil || !exists {
			return err
		}
		return conn.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM schema_migrations`).Scan(&v)
	})
	return v, err
}

func with(ctx context.Context, url string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was done is committed or was only read
	return do(conn)
}
