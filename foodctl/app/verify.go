package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
)

type verifyCmd struct {
	ops.DatabaseFlags `embed:""`
	kafka.Security    `embed:""`

	OrdersURL    string        `help:"The orders database. Default: that of foodctl up." env:"ORDERS_DATABASE_URL" placeholder:"URL"`
	ReadModelURL string        `name:"readmodel-url" help:"The read model's database. Default: that of foodctl up." env:"READMODEL_DATABASE_URL" placeholder:"URL"`
	Brokers      string        `help:"Kafka brokers, comma-separated. Default: the dev broker of foodctl up." env:"KAFKA_BROKERS" default:"127.0.0.1:7490" placeholder:"HOST:PORT,..."`
	Topic        string        `help:"The events' topic (${default})." env:"TOPIC" default:"food-orders" placeholder:"NAME"`
	Slot         string        `help:"The relay's replication slot (${default})." env:"RELAY_SLOT" default:"food_orders" placeholder:"NAME"`
	Timeout      time.Duration `help:"How long to wait until everything that is committed now has arrived (${default})." env:"VERIFY_TIMEOUT" default:"30s" placeholder:"DURATION"`
	Offenders    int           `help:"How many findings to list (${default})." env:"VERIFY_OFFENDERS" default:"20" placeholder:"N"`
	JSON         bool          `help:"Print the report as JSON." env:"VERIFY_JSON"`
	DataDir      string        `help:"Data directory of foodctl up, for its Postgres. Default: as for up." env:"FOODCTL_DIR" type:"path" placeholder:"DIR"`
	PostgresPort int           `help:"Port of the Postgres of foodctl up (${default})." env:"FOODCTL_POSTGRES_PORT" default:"7489" placeholder:"PORT"`
}

// Help is shown below the command's own line.
func (verifyCmd) Help() string {
	return `Works out from the outbox table alone which events must be in the topic and what the read model must say, reads both, and
compares, event by event and row by row. Traffic may flow meanwhile. It only reads, and needs SELECT on both databases.

Exit code: 0 everything holds; 1 something is violated, the first findings are listed; 2 it could not be decided, the
report says why and what to do.`
}

// Run audits and prints the report.
func (c verifyCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	cfg, err := c.config(ctx, log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	report, err := audit.Run(ctx, cfg)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.Write(out)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return verdictError(report.Verdict)
}

func (c verifyCmd) config(ctx context.Context, log *slog.Logger) (audit.Config, error) {
	cfg := audit.Config{
		OrdersURL: c.OrdersURL, ReadModelURL: c.ReadModelURL, Brokers: broker.Seeds(c.Brokers), Security: c.Security,
		Topic: c.Topic, Slot: c.Slot, Timeout: c.Timeout, Offenders: c.Offenders, Log: log,
	}
	if c.Timeout <= 0 || c.Offenders < 1 || len(cfg.Brokers) == 0 {
		return cfg, errors.New("--timeout and --offenders must be above 0, and --brokers not empty")
	}
	if err := c.Check(); err != nil {
		return cfg, err
	}
	if cfg.OrdersURL != "" && cfg.ReadModelURL != "" {
		return c.login(cfg)
	}
	if cfg.OrdersURL != "" || cfg.ReadModelURL != "" {
		return cfg, errors.New("give both --orders-url and --readmodel-url, or neither for the databases of foodctl up")
	}
	names := stack.DefaultNames()
	var err error
	if cfg.OrdersURL, err = c.local(ctx, names.OrdersDB); err != nil {
		return cfg, err
	}
	cfg.ReadModelURL, err = c.local(ctx, names.ReadModelDB)
	return cfg, err
}

// login puts the password into the URLs.
func (c verifyCmd) login(cfg audit.Config) (audit.Config, error) {
	var errOrders, errReadModel error
	cfg.OrdersURL, errOrders = c.Login(cfg.OrdersURL)
	cfg.ReadModelURL, errReadModel = c.Login(cfg.ReadModelURL)
	return cfg, errors.Join(errOrders, errReadModel)
}

// local is the URL of a database of foodctl up, whose password is in a file that only its user can read.
func (c verifyCmd) local(ctx context.Context, database string) (string, error) {
	dir := c.DataDir
	if dir == "" {
		var err error
		if dir, err = defaultDirectory(ctx); err != nil {
			return "", err
		}
	}
	password, err := os.ReadFile(filepath.Join(dir, "postgres", "password"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no system of foodctl up in %s: start it, "+
			"or give --orders-url and --readmodel-url", dir)
	}
	if err != nil {
		return "", err
	}
	u := url.URL{
		Scheme: "postgres",
		User:   url.UserPassword(pgserver.Superuser, strings.TrimSpace(string(password))),
		Host:   net.JoinHostPort("127.0.0.1", strconv.Itoa(c.PostgresPort)),
		Path:   "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String(), nil
}
