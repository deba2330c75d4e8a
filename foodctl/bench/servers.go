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
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/programs"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// Config says on which servers to measure.
type Config struct {
	DatabaseURL string       // a superuser's; for a relay, of a server with wal_level=logical; empty: a private Postgres
	Brokers     string       // comma-separated addresses; empty: a private Apache Kafka
	Relay       string       // path of the program; empty: the one beside this program, else built
	Projector   string       // the same
	Service     string       // the same, of orderservice
	Progress    func(string) // is told what is going on, one line a call; not nil

	name string // of what is made on the servers; empty: one that nobody else has
}

// servers are what a trial runs on: servers of its own unless some were given, and what it has made there.
type servers struct {
	Config

	id       string // in the name of all that is made
	dir      string // scratch, removed at the end
	admin    *url.URL
	postgres *pgserver.Server    // nil for a given one
	kafka    *kafkaserver.Server // nil for given ones
	client   *kgo.Client         // for questions
	machine  Machine             // what it is measured on
	made     made

	// What open makes for a relay.
	names stack.Names
	login access.Login // the relay's
	db    *pgx.Conn    // the administrator's, to the orders database
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

// start starts what was not given. properties are the private broker's.
func start(ctx context.Context, c Config, kafka kafkaserver.Config) (*servers, error) {
	return opened(ctx, c, func(s *servers) error {
		if err := s.findPrograms(ctx); err != nil {
			return err
		}
		if err := s.openBroker(ctx, kafka); err != nil {
			return err
		}
		return s.openPostgres(ctx, settings)
	})
}

// opened makes servers and lets do open them.
func opened(ctx context.Context, c Config, do func(*servers) error) (s *servers, err error) {
	s = &servers{Config: c, id: cmp.Or(c.name, "bench_"+strings.ToLower(rand.Text()[:8]))}
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
	if err = do(s); err != nil {
		return s, err
	}
	s.machine, err = s.describe(ctx)
	return s, err
}

// findPrograms finds those that were not given.
func (s *servers) findPrograms(ctx context.Context) error {
	if s.Relay != "" && s.Projector != "" && s.Service != "" {
		return nil
	}
	dir, err := programs.Find(ctx, s.Progress)
	if err != nil {
		return err
	}
	s.Relay, s.Projector = cmp.Or(s.Relay, filepath.Join(dir, "relay")), cmp.Or(s.Projector, filepath.Join(dir, "projector"))
	s.Service = cmp.Or(s.Service, filepath.Join(dir, "orderservice"))
	return nil
}

// open starts servers, and makes what a relay needs: orders database, login and topic.
func open(ctx context.Context, c Config, kafka kafkaserver.Config) (s *servers, err error) {
	if s, err = start(ctx, c, kafka); err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	s.names = stack.ScratchNames(s.id)
	s.login = access.Login{Name: s.id + "_relay", Password: rand.Text(), Group: "orders_relay", Attributes: "REPLICATION"}
	if err = s.ensureTopic(ctx, s.names.Topic); err != nil {
		return s, err
	}
	s.made.topics = append(s.made.topics, s.names.CheckpointTopic())
	if err = s.checkLevel(ctx); err != nil {
		return s, err
	}
	if err = s.createDatabase(ctx, s.names.OrdersDB, sql.Orders); err != nil {
		return s, err
	}
	if err = s.ensureLogin(ctx, s.login); err != nil {
		return s, err
	}
	s.db, err = pgx.Connect(ctx, s.url())
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
	s.client, err = broker.Connect(ctx, s.Brokers)
	return err
}

func (s *servers) openPostgres(ctx context.Context, settings map[string]string) (err error) {
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
	return nil
}

// administer lets the administrator do something, in the database that his URL names.
func (s *servers) administer(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.admin.String())
	if err != nil {
		return fmt.Errorf("database server: %w: start it, or give --database-url the right address and login", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what was done with it is committed
	return do(conn)
}

// checkLevel refuses a server whose log a relay cannot read.
func (s *servers) checkLevel(ctx context.Context) error {
	return s.administer(ctx, func(conn *pgx.Conn) error {
		var level string
		if err := conn.QueryRow(ctx, "SHOW wal_level").Scan(&level); err != nil {
			return fmt.Errorf("settings of the database server: %w", err)
		}
		if level != "logical" {
			return fmt.Errorf("the database server has wal_level = %s, and the relay reads logical changes: run "+
				"ALTER SYSTEM SET wal_level = 'logical' as a superuser and restart the server", level)
		}
		return nil
	})
}

// urlOf is the administrator's URL of a database. It holds a password.
func (s *servers) urlOf(database string) string {
	u := *s.admin
	u.Path = "/" + database
	return u.String()
}

// url is that of the orders database.
func (s *servers) url() string { return s.urlOf(s.names.OrdersDB) }

// relayURL is the orders database for the relay, at another address if one is given. It holds a password.
func (s *servers) relayURL(address string) string { return s.urlAs(s.login, s.names.OrdersDB, address) }

// urlAs is a database for a login, at another address if one is given. It holds a password.
func (s *servers) urlAs(l access.Login, database, address string) string {
	u := *s.admin
	u.Path, u.User = "/"+database, url.UserPassword(l.Name, l.Password)
	if address != "" {
		u.Host = address
	}
	return u.String()
}
