package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/programs"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
	"github.com/adamkwhite/kafkafoodpipeline/sql/migrate"
)

// Config says on which servers to measure.
type Config struct {
	DatabaseURL string       // a superuser's, of a server with wal_level=logical; empty: a private Postgres
	Brokers     string       // comma-separated addresses; empty: a private Apache Kafka
	Relay       string       // path of the program; empty: the one beside this program, else built
	Progress    func(string) // is told what is going on, one line a call; not nil

	name string // of what is made on the servers; empty: one that nobody else has
}

// servers are a database and a topic of a trial's own, on servers of its own unless some were given.
type servers struct {
	Config

	names    stack.Names
	dir      string // scratch, removed at the end
	admin    *url.URL
	login    access.Login        // the relay's
	postgres *pgserver.Server    // nil for a given one
	kafka    *kafkaserver.Server // nil for given ones
	db       *pgx.Conn           // the administrator's, to the orders database
	client   *kgo.Client         // for questions
	machine  Machine             // what it is measured on
}

// settings of the private Postgres. They keep out of the way what would come and go while something is measured: no
// checkpoint between two fillings, no vacuum of a table that is only inserted into. Its commits are durable, as they
// have to be.
var settings = map[string]string{
	"wal_level":          "logical",
	"synchronous_commit": "on",
	"fsync":              "on",
	"max_wal_size":       "32GB",
	"checkpoint_timeout": "1d",
	"autovacuum":         "off",
	"shared_buffers":     "256MB",
}

// open starts what was not given, and makes database, login and topic. properties are the private broker's.
func open(ctx context.Context, c Config, kafka kafkaserver.Config) (s *servers, err error) {
	id := cmp.Or(c.name, "bench_"+strings.ToLower(rand.Text()[:8]))
	s = &servers{Config: c, names: stack.ScratchNames(id)}
	s.login = access.Login{Name: id + "_relay", Password: rand.Text(), Group: "orders_relay", Attributes: "REPLICATION"}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	if s.dir, err = os.MkdirTemp("", "foodctl-bench-"); err != nil {
		return s, err
	}
	// MkdirTemp shuts others out, and Postgres may have to run as another user.
	if err = os.Chmod(s.dir, 0o755); err != nil { // what is secret in it has its own mode
		return s, err
	}
	if c.Relay == "" {
		dir, err := programs.Find(ctx, c.Progress)
		if err != nil {
			return s, err
		}
		s.Relay = filepath.Join(dir, "relay")
	}
	if err = s.openBroker(ctx, kafka); err != nil {
		return s, err
	}
	if err = s.openDatabase(ctx); err != nil {
		return s, err
	}
	s.machine, err = s.describe(ctx)
	return s, err
}

// brokersTimeout is how long given brokers may take to answer.
const brokersTimeout = 15 * time.Second

func (s *servers) openBroker(ctx context.Context, c kafkaserver.Config) (err error) {
	if s.Brokers == "" {
		if err := kafkaserver.Available(); err != nil {
			return fmt.Errorf("%w; or give --brokers a Kafka that runs", err)
		}
		s.Progress("starting Apache Kafka " + kafkaserver.Version)
		c.Dir = filepath.Join(s.dir, "kafka")
		if s.kafka, err = kafkaserver.Start(ctx, c); err != nil {
			return err
		}
		s.Brokers = s.kafka.Address()
	}
	ctx, cancel := context.WithTimeout(ctx, brokersTimeout)
	defer cancel()
	if s.client, err = broker.Connect(ctx, s.Brokers); err != nil {
		return err
	}
	_, err = broker.Ensure(ctx, s.client, s.names.Topic, 0)
	return err
}

func (s *servers) openDatabase(ctx context.Context) (err error) {
	address := s.DatabaseURL
	if address == "" {
		s.Progress("starting Postgres")
		s.postgres, err = pgserver.Start(ctx, pgserver.Config{
			Dir: filepath.Join(s.dir, "postgres"), Settings: settings, Progress: s.Progress,
		})
		if err != nil {
			return err
		}
		address = s.postgres.URL(pgserver.Superuser, "postgres")
	}
	if s.admin, err = url.Parse(address); err != nil || s.admin.Scheme != "postgres" && s.admin.Scheme != "postgresql" {
		return errors.New("--database-url is not of the form postgres://user:password@host:port/database")
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("database server: %w: start it, or give --database-url the right address and login", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was done with it is committed
	var level string
	if err := conn.QueryRow(ctx, "SHOW wal_level").Scan(&level); err != nil {
		return fmt.Errorf("settings of the database server: %w", err)
	}
	if level != "logical" {
		return fmt.Errorf("the database server has wal_level = %s, and the relay reads logical changes: run "+
			"ALTER SYSTEM SET wal_level = 'logical' as a superuser and restart the server", level)
	}
	if err := access.CreateDatabase(ctx, conn, s.names.OrdersDB); err != nil {
		return err
	}
	if err := migrate.Up(ctx, s.url(), sql.Orders); err != nil {
		return err
	}
	if err := s.login.Ensure(ctx, conn); err != nil {
		return err
	}
	s.db, err = pgx.Connect(ctx, s.url())
	return err
}

// url is the administrator's URL of the orders database. It holds a password.
func (s *servers) url() string {
	u := *s.admin
	u.Path = "/" + s.names.OrdersDB
	return u.String()
}

// relayURL is the orders database for the relay, at another address if one is given. It holds a password.
func (s *servers) relayURL(address string) string {
	u := *s.admin
	u.Path, u.User = "/"+s.names.OrdersDB, url.UserPassword(s.login.Name, s.login.Password)
	if address != "" {
		u.Host = address
	}
	return u.String()
}

// closeTimeout bounds what ends servers, or tidies up given ones.
const closeTimeout = time.Minute

// close ends the servers, or removes from given ones what was made there, and removes the directory. The relays must be
// gone.
func (s *servers) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var errs []error
	if s.db != nil {
		_ = s.db.Close(ctx) // what was interrupted has closed it already
	}
	if s.postgres == nil && s.admin != nil {
		errs = append(errs, s.scrubDatabase(ctx))
	}
	if s.client != nil {
		if s.kafka == nil {
			_, err := kadm.NewClient(s.client).DeleteTopics(ctx, s.names.Topic, s.names.CheckpointTopic())
			errs = append(errs, err)
		}
		s.client.Close()
	}
	if s.kafka != nil {
		errs = append(errs, s.kafka.Kill()) // its files go, too
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop(ctx, pgserver.Immediate))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// A walsender whose client is gone holds its slot for a moment.
const endSenders = `
SELECT pg_terminate_backend(active_pid, 10000)
FROM pg_replication_slots
WHERE database = $1 AND active_pid IS NOT NULL`

const dropSlots = `
SELECT pg_drop_replication_slot(slot_name)
FROM pg_replication_slots
WHERE database = $1`

// scrubDatabase removes what was made on a given server, as far as it was made.
func (s *servers) scrubDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.admin.String())
	if err != nil {
		return fmt.Errorf("remove database %s: %w", s.names.OrdersDB, err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	for _, statement := range []string{endSenders, dropSlots} {
		if _, err := conn.Exec(ctx, statement, s.names.OrdersDB); err != nil {
			return fmt.Errorf("drop the slots of %s: %w", s.names.OrdersDB, err)
		}
	}
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + pgx.Identifier{s.names.OrdersDB}.Sanitize() + " WITH (FORCE)",
		"DROP ROLE IF EXISTS " + pgx.Identifier{s.login.Name}.Sanitize(),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
