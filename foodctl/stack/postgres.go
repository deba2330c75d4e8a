package stack

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
)

// minVersion is the oldest server whose logical decoding has what the relay needs, as server_version_num has it.
const minVersion = 150000

// server is a Postgres server that a system's databases are in.
type server struct {
	admin   *url.URL // its path is replaced by a database's name
	version string
	notes   []string // what is allowed and worth knowing
}

// newServer takes a URL of somebody who may make databases and roles, and checks that the server can do its part.
func newServer(ctx context.Context, adminURL string) (*server, error) {
	u, err := url.Parse(adminURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, errors.New("--database-url is not of the form postgres://user:password@host:port/database")
	}
	s := &server{admin: u}
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		// pgx leaves the password out.
		return nil, fmt.Errorf("database server: %w: start it, or give --database-url the right address and login", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	return s, s.check(ctx, conn)
}

const selectSettings = `
SELECT current_setting('server_version'),
       current_setting('server_version_num')::int,
       current_setting('wal_level'),
       current_setting('max_slot_wal_keep_size'),
       (SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user)`

func (s *server) check(ctx context.Context, conn *pgx.Conn) error {
	var (
		number  int
		level   string
		keep    string
		capable bool
	)
	if err := conn.QueryRow(ctx, selectSettings).Scan(&s.version, &number, &level, &keep, &capable); err != nil {
		return fmt.Errorf("settings of the database server: %w", err)
	}
	var errs []error
	if number < minVersion {
		errs = append(errs, fmt.Errorf("the database server is Postgres %s: use 15 or newer", s.version))
	}
	if level != "logical" {
		errs = append(errs, fmt.Errorf("the database server has wal_level = %s, and the relay reads logical changes: run "+
			"ALTER SYSTEM SET wal_level = 'logical' as a superuser and restart the server", level))
	}
	if !capable {
		errs = append(errs, fmt.Errorf("the login %s may not make databases and roles: give --database-url a superuser's URL",
			s.admin.User.Username()))
	}
	if keep == "-1" {
		s.notes = append(s.notes, "max_slot_wal_keep_size is not set on the database server: while the relay is away, its slot "+
			"keeps log files there without a bound (I11)")
	}
	return errors.Join(errs...)
}

// url is the administrator's URL of a database.
func (s *server) url(database string) string {
	u := *s.admin
	u.Path = "/" + database
	return u.String()
}

// urlAs is a program's URL of a database. It holds a password: it belongs in an environment, never in argv or a log.
func (s *server) urlAs(l access.Login, database string) string {
	u := *s.admin
	u.Path = "/" + database
	u.User = url.UserPassword(l.Name, l.Password)
	return u.String()
}

// where is how people are told of the server.
func (s *server) where() string { return s.admin.Host }

// connect runs do with a connection to a database.
func (s *server) connect(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.url(database))
	if err != nil {
		return fmt.Errorf("database %s: %w", database, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what do has done is committed or not by now
	return do(conn)
}
