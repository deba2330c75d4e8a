package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/console"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type upCmd struct {
	serverFlags
	sizeFlags
	relayFlags
	portFlags

	Rate     float64       `help:"Orders per second; 0: as fast as it can (${default})." env:"RATE" default:"10" placeholder:"N"`
	Topic    string        `help:"Topic of the events (${default})." env:"TOPIC" default:"food-orders" placeholder:"NAME"`
	Orders   int64         `help:"Stop after so many orders, wait until all their events have arrived, audit, and exit 0 if it holds, 1 if not, 2 if undecided." env:"ORDERS" placeholder:"N"`
	Duration time.Duration `help:"The same after so long." env:"FOODCTL_DURATION" placeholder:"D"`
	Chaos    bool          `name:"allow-chaos" help:"Let things be broken from the live page, with a token: kill, pause, cut off, another rate." env:"FOODCTL_ALLOW_CHAOS"`
	DataDir  string        `help:"Directory for Postgres's data and the logs. Default: .foodpipeline in the repository." env:"FOODCTL_DIR" type:"path" placeholder:"DIR"`
	Reset    bool          `help:"Wipe the data directory first. Only one that foodctl made; nothing on given servers." env:"FOODCTL_RESET"`
	JSON     bool          `help:"Write an object per line instead of text." env:"FOODCTL_JSON" name:"json"`
}

// Help is what `foodctl up --help` says beside the flags.
func (upCmd) Help() string {
	return `Starts Postgres (a private one, downloaded once if need be) and a Kafka broker (a dev broker in memory), makes the
databases and the topic, and runs orderservice with its order generator, the relay, the projectors and the query API as child processes.
A program that dies is started again: kill -9 any of these to see. Postgres is not among them: if it dies, foodctl ends and says so, and
the next start recovers. Ctrl-C lets what is on its way arrive and stops everything in order; a second Ctrl-C stops at once. No process
outlives foodctl, however it ends. Postgres's data stays for the next start, until --reset.

The live page, http://127.0.0.1:7480, shows where the events are. The status line counts them: written to the outbox, published in the
topic, applied to the read model.

  foodctl up                                  ten orders a second until Ctrl-C
  foodctl up --allow-chaos                    with buttons on the page that kill, pause and cut off
  foodctl up --orders 1000 --rate 200         a thousand orders, then the audit
  foodctl up --brokers localhost:9092         the same on a real Kafka
  foodctl up --rate 0 --orders 50000          as fast as it can; prints orders/s, memory and CPU of each program`
}

// Run runs the system until Ctrl-C or its limit.
func (c *upCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) (err error) {
	if err := errors.Join(c.sizeFlags.check(), c.relayFlags.check(), c.portFlags.check(), checkRate(c.Rate)); err != nil {
		return err
	}
	dir, err := c.directory(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	style := status.StyleOf(out, c.JSON)
	screen := status.NewScreen(out, style)
	s, err := openSession(ctx, c.config(dir), screen, style, log)
	if err != nil {
		return err
	}
	token := ""
	if c.Chaos {
		token = rand.Text()
	}
	page, err := c.page(ctx, s, token, log)
	if err == nil {
		screen.Object(map[string]string{"page": page.address(token)})
		screen.Text(banner(s, c, dir, page.address(token)))
		err = errors.Join(c.watch(ctx, s, page), page.close())
	}
	return errors.Join(err, s.close(context.WithoutCancel(ctx)))
}

// page serves the live page of the system. With a token things can be broken from it.
func (c *upCmd) page(ctx context.Context, s *session, token string, log *slog.Logger) (*page, error) {
	cfg := console.Config{
		OrdersURL: s.OrdersURL(), ReadModelURL: s.ReadModelURL(), Brokers: broker.Seeds(s.Brokers()), Topic: s.names.Topic, Slot: s.names.Slot,
		API: s.OrderService.URL, Relays: listed(s.Relays), Projectors: listed(s.Projectors), Log: log,
	}
	if token != "" {
		cfg.Breaker, cfg.Token = s.Stack, token
		for _, p := range s.Programs() {
			cfg.Targets = append(cfg.Targets, p.Name())
		}
	}
	listener, err := ops.Listen(ctx, net.JoinHostPort(stack.Host, strconv.Itoa(c.ConsolePort)))
	if err != nil {
		return nil, err
	}
	return openPage(ctx, cfg, listener, new(auth.Guard))
}

func listed(programs []*stack.Program) []console.Program {
	list := make([]console.Program, len(programs))
	for i, p := range programs {
		list[i] = console.Program{Name: p.Name(), URL: p.URL, PID: p.Pid}
	}
	return list
}

func (c *upCmd) directory(ctx context.Context) (*stack.Directory, error) {
	path := c.DataDir
	if path == "" {
		var err error
		if path, err = defaultDirectory(ctx); err != nil {
			return nil, err
		}
	}
	dir, err := stack.OpenDirectory(path)
	if err != nil {
		return nil, err
	}
	if c.Reset {
		if err := dir.Reset(); err != nil {
			return nil, errors.Join(err, dir.Close())
		}
	}
	return dir, nil
}

func (c *upCmd) config(dir *stack.Directory) stack.Config {
	names := stack.DefaultNames()
	names.Topic = c.Topic
	return stack.Config{
		Directory: dir, DatabaseURL: c.DatabaseURL, Brokers: c.Brokers, Ports: c.ports(), Names: names,
		Relays: c.Relays, Projectors: c.Projectors, Cables: c.Chaos,
		Traffic: stack.Traffic{Rate: c.Rate, Orders: c.Orders, Seed: c.Seed, Writers: c.Writers},
	}
}

// watch runs until Ctrl-C, which is the usual end, or until the limit, and then the audit. It ends when there is no page any
// more: the page's error is then the end's.
func (c *upCmd) watch(ctx context.Context, s *session, p *page) error {
	limited := c.Orders > 0 || c.Duration > 0
	served, stop := p.served(ctx)
	defer stop()
	err := s.watch(served, c.finished(s))
	switch {
	case err == nil:
		return c.conclude(ctx, s)
	case ctx.Err() != nil && !limited:
		return s.leave(ctx)
	case ctx.Err() != nil:
		return &ops.ExitError{Code: 2, Err: errors.Join(errors.New("stopped before the audit"), s.leave(ctx))}
	case served.Err() != nil:
		return context.Cause(served)
	}
	return err
}

// finished says whether the limit is reached.
func (c *upCmd) finished(s *session) func(context.Context) bool {
	return func(ctx context.Context) bool {
		if c.Duration > 0 && time.Since(s.began) >= c.Duration {
			return true
		}
		if c.Orders == 0 {
			return false
		}
		m, err := status.Scrape(ctx, s.OrderService.URL)
		return err == nil && m.Sum("generator_done") == 1
	}
}

// conclude waits until everything has arrived, and audits it.
func (c *upCmd) conclude(ctx context.Context, s *session) error {
	arrived, err := s.drain(ctx, patience)
	if err != nil {
		return err
	}
	s.screen.Status(s.counts)
	s.screen.End()
	if ctx.Err() != nil {
		return &ops.ExitError{Code: 2, Err: errors.New("stopped before the audit")}
	}
	if !arrived {
		s.screen.Notice("nothing has arrived for %s: %d of %d events are in the topic, %d in the read model; the programs' logs say why",
			patience, s.counts.Published, s.counts.Written, s.counts.Applied)
	}
	if err := s.report(ctx); err != nil {
		return err
	}
	report, err := s.audit(ctx)
	if err != nil {
		return err
	}
	if err := s.show(report); err != nil {
		return err
	}
	return verdictError(report.Verdict)
}

// leave lets what is on its way arrive, for as long as it moves.
func (s *session) leave(ctx context.Context) error {
	const soon = 5 * time.Second
	s.screen.Notice("stopping: what is on its way arrives first (Ctrl-C again stops at once)")
	arrived, err := s.drain(context.WithoutCancel(ctx), soon)
	s.screen.Status(s.counts)
	s.screen.End()
	if err == nil && !arrived {
		s.screen.Notice("%d events are still on their way; they are safe in the outbox", s.counts.Written-s.counts.Applied)
	}
	if err != nil {
		return fmt.Errorf("draining: %w", err)
	}
	return nil
}
