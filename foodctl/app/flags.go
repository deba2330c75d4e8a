package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/programs"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
)

// serverFlags put a system on servers that are there already.
type serverFlags struct {
	DatabaseURL string `help:"Postgres server to use (15 or newer, wal_level=logical), as a superuser. Default: a private one." env:"DATABASE_URL" placeholder:"URL"`
	Brokers     string `help:"Kafka brokers to use (4.0 or newer), comma-separated. Default: a dev broker in memory." env:"KAFKA_BROKERS" placeholder:"HOST:PORT,..."`
}

// sizeFlags say how much there is of everything but relays.
type sizeFlags struct {
	Projectors int    `help:"Projector processes; they share the topic's three partitions (${default})." env:"FOODCTL_PROJECTORS" default:"2" placeholder:"N"`
	Writers    int    `help:"Orders that are worked on at once at rate 0. Default: orderservice's own." env:"WRITERS" placeholder:"N"`
	Seed       uint64 `help:"Seed of the generated orders, and of what demo kill kills. Default: orderservice's own." env:"SEED" placeholder:"N"`
}

// check refuses sizes that make no sense.
func (f sizeFlags) check() error {
	if f.Projectors < 1 || f.Projectors > 3 {
		return fmt.Errorf("--projectors %d: give 1 to 3, the topic has three partitions", f.Projectors)
	}
	return nil
}

// relayFlags say how many relays there are: by themselves as many as the variable relays says.
type relayFlags struct {
	Relays int `help:"Relay processes; all but one stand by (${default})." env:"FOODCTL_RELAYS" default:"${relays}" placeholder:"N"`
}

func (f relayFlags) check() error {
	if f.Relays < 1 || f.Relays > 2 {
		return fmt.Errorf("--relays %d: give 1, or 2 for one that stands by", f.Relays)
	}
	return nil
}

// portFlags say where everything listens, on the loopback address.
type portFlags struct {
	ConsolePort      int `help:"Port of the live page (${default})." env:"FOODCTL_CONSOLE_PORT" default:"7480" placeholder:"PORT" group:"Ports"`
	OrderservicePort int `help:"Port of orderservice's API (${default})." env:"FOODCTL_ORDERSERVICE_PORT" default:"7481" placeholder:"PORT" group:"Ports"`
	RelayPort        int `help:"Port of the relay's metrics; a second relay takes the next (${default})." env:"FOODCTL_RELAY_PORT" default:"7482" placeholder:"PORT" group:"Ports"`
	ProjectorPort    int `help:"Port of the first projector's metrics; others take the next ones (${default})." env:"FOODCTL_PROJECTOR_PORT" default:"7484" placeholder:"PORT" group:"Ports"`
	QueryPort        int `help:"Port of the query API (${default})." env:"FOODCTL_QUERY_PORT" default:"7488" placeholder:"PORT" group:"Ports"`
	PostgresPort     int `help:"Port of the private Postgres (${default})." env:"FOODCTL_POSTGRES_PORT" default:"7489" placeholder:"PORT" group:"Ports"`
	BrokerPort       int `help:"Port of the dev broker (${default})." env:"FOODCTL_BROKER_PORT" default:"7490" placeholder:"PORT" group:"Ports"`
}

// check is before anything is started.
func (p portFlags) check() error {
	for flag, port := range map[string]int{
		"console-port": p.ConsolePort, "orderservice-port": p.OrderservicePort, "relay-port": p.RelayPort, "projector-port": p.ProjectorPort,
		"query-port": p.QueryPort, "postgres-port": p.PostgresPort, "broker-port": p.BrokerPort,
	} {
		if port < 1 || port > 65535 {
			return fmt.Errorf("--%s %d: give a port, 1 to 65535", flag, port)
		}
	}
	return nil
}

// checkRate refuses a rate that no order generator has.
func checkRate(rate float64) error {
	if rate < 0 {
		return fmt.Errorf("--rate %g: give 0, for as fast as it can, or more", rate)
	}
	return nil
}

func (p portFlags) ports() stack.Ports {
	return stack.Ports{
		OrderService: p.OrderservicePort, Relay: p.RelayPort, Projector: p.ProjectorPort, Postgres: p.PostgresPort,
		Broker: p.BrokerPort, Query: p.QueryPort, Console: p.ConsolePort,
	}
}

// defaultDirectory is .foodpipeline in the repository, or in the working directory if this is not run from one. If this
// is root and the place is one that only root can enter, Postgres, which does not run as root, could not live there.
func defaultDirectory(ctx context.Context) (string, error) {
	base, err := programs.Source(ctx)
	if err != nil {
		if base, err = os.Getwd(); err != nil {
			return "", err
		}
	}
	if os.Geteuid() == 0 && !passable(base) {
		key := sha256.Sum256([]byte(base))
		return fmt.Sprintf("/var/tmp/foodpipeline-%x", key[:4]), nil
	}
	return filepath.Join(base, ".foodpipeline"), nil
}

// passable says whether everybody may enter the directory and all above it.
func passable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
