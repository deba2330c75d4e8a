package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
)

// systemFlags say where a running system is. Their defaults are those of the one that foodctl up runs.
type systemFlags struct {
	ops.DatabaseFlags `embed:""`
	kafka.Security    `embed:""`

	OrdersURL    string `help:"The orders database. Default: that of foodctl up." env:"ORDERS_DATABASE_URL" placeholder:"URL"`
	ReadModelURL string `name:"readmodel-url" help:"The read model's database. Default: that of foodctl up." env:"READMODEL_DATABASE_URL" placeholder:"URL"`
	Brokers      string `help:"Kafka brokers, comma-separated. Default: the dev broker of foodctl up." env:"KAFKA_BROKERS" default:"127.0.0.1:7490" placeholder:"HOST:PORT,..."`
	Topic        string `help:"The events' topic (${default})." env:"TOPIC" default:"food-orders" placeholder:"NAME"`
	DataDir      string `help:"Data directory of foodctl up, for its Postgres. Default: as for up." env:"FOODCTL_DIR" type:"path" placeholder:"DIR"`
	PostgresPort int    `help:"Port of the Postgres of foodctl up (${default})." env:"FOODCTL_POSTGRES_PORT" default:"7489" placeholder:"PORT"`
}

// databases returns the URLs of both, passwords and all.
func (f systemFlags) databases(ctx context.Context) (orders, readModel string, err error) {
	if err := f.Check(); err != nil {
		return "", "", err
	}
	if (f.OrdersURL == "") != (f.ReadModelURL == "") {
		return "", "", errors.New("give both --orders-url and --readmodel-url, or neither for the databases of foodctl up")
	}
	if f.OrdersURL != "" {
		if orders, err = f.Login(f.OrdersURL); err != nil {
			return "", "", err
		}
		readModel, err = f.Login(f.ReadModelURL)
		return orders, readModel, err
	}
	names := stack.DefaultNames()
	if orders, err = f.local(ctx, names.OrdersDB); err != nil {
		return "", "", err
	}
	readModel, err = f.local(ctx, names.ReadModelDB)
	return orders, readModel, err
}

// local is the URL of a database of foodctl up, whose password is in a file that only its user can read.
func (f systemFlags) local(ctx context.Context, database string) (string, error) {
	dir := f.DataDir
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
		Host:   net.JoinHostPort("127.0.0.1", strconv.Itoa(f.PostgresPort)),
		Path:   "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String(), nil
}
