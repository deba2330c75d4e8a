package console

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/readonly"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Program is one of the system's programs.
type Program struct {
	Name string
	URL  string     // of its metrics
	PID  func() int // of its process, 0 while there is none; nil: not known
}

// Config says what to look at.
type Config struct {
	OrdersURL, ReadModelURL string // of the databases
	Brokers                 []string
	Security                kafka.Security
	Topic, Slot             string
	API                     string // URL of orderservice; "": not asked
	Relays, Projectors      []Program
	Asker                   status.Asker // of all of these

	Breaker Breaker  // breaks things for the page; nil: nothing can be broken from it
	Targets []string // what it can break, by name
	Token   string   // that a request to break something must bear
	Log     *slog.Logger
}

// Console is a page and what it shows. The caller must call Run, and Close when that is over.
type Console struct {
	cfg       Config
	collector *status.Collector
	audit     *audit.Continuous
	lives     *life.Reader
	orders    *pgxpool.Pool
	readModel *pgxpool.Pool
	client    *kgo.Client // asked whether a broker answers

	arrivals *arrivals
	hub      *hub
	health   *ops.Health
	looker   looker // of Run alone
}

// sessionName is how Postgres knows the console's sessions.
const sessionName = "foodctl console"

// Open connects to the databases and the brokers as it needs them: one that is away is told of on the page.
func Open(ctx context.Context, cfg Config) (c *Console, err error) {
	c = &Console{cfg: cfg, arrivals: newArrivals(), hub: newHub(), health: ops.NewHealth(firstLook)}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	c.audit, err = audit.NewContinuous(ctx, audit.Config{
		OrdersURL: cfg.OrdersURL, ReadModelURL: cfg.ReadModelURL, Brokers: cfg.Brokers, Security: cfg.Security, Topic: cfg.Topic, Slot: cfg.Slot,
	})
	if err != nil {
		return c, err
	}
	projectors := make([]string, len(cfg.Projectors))
	for i, p := range cfg.Projectors {
		projectors[i] = p.URL
	}
	c.collector, err = status.Open(ctx, status.Config{
		OrdersURL: cfg.OrdersURL, ReadModelURL: cfg.ReadModelURL, Brokers: cfg.Brokers, Security: cfg.Security, Topic: cfg.Topic,
		Asker: cfg.Asker, Projectors: projectors, Observers: []status.Observer{c.audit, c.arrivals},
	})
	if err != nil {
		return c, err
	}
	c.lives, err = life.Open(ctx, life.Config{
		OrdersURL: cfg.OrdersURL, ReadModelURL: cfg.ReadModelURL, Brokers: cfg.Brokers, Security: cfg.Security, Topic: cfg.Topic,
	})
	if err != nil {
		return c, err
	}
	if c.orders, err = readonly.Pool(ctx, cfg.OrdersURL, sessionName, 2); err != nil {
		return c, fmt.Errorf("orders database: %w", err)
	}
	if c.readModel, err = readonly.Pool(ctx, cfg.ReadModelURL, sessionName, 2); err != nil {
		return c, fmt.Errorf("read model's database: %w", err)
	}
	c.client, err = kgo.NewClient(append(cfg.Security.Options(), kgo.SeedBrokers(cfg.Brokers...), kgo.ClientID("foodctl-console"))...)
	return c, err
}

// Close ends all connections.
func (c *Console) Close() {
	if c.client != nil {
		c.client.Close()
	}
	for _, p := range []*pgxpool.Pool{c.orders, c.readModel} {
		if p != nil {
			p.Close()
		}
	}
	if c.lives != nil {
		c.lives.Close()
	}
	if c.collector != nil {
		c.collector.Close()
	}
	if c.audit != nil {
		c.audit.Close()
	}
}

// firstLook is the part of the console that must have been before it is of use.
const firstLook = "first look"

// every is how often the console looks.
const every = time.Second

// Run looks at the system and tells the pages until ctx is done. Streams end with it.
func (c *Console) Run(ctx context.Context) {
	defer c.hub.close()
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { c.collector.Run(ctx) })
	reading.Go(func() { c.followReadModel(ctx) })
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if s := c.look(ctx); ctx.Err() == nil {
			c.hub.publish(s)
			c.health.Set(firstLook, nil) // what cannot be seen is on the page, which is what a console is for
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
