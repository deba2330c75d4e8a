package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type demoCmd struct {
	Kill killCmd `cmd:"" help:"kill -9 the relay again and again while orders flow, then audit."`
}

type killCmd struct {
	serverFlags
	sizeFlags

	Rate  float64       `help:"Orders per second; 0: as fast as it can (${default})." env:"RATE" default:"50" placeholder:"N"`
	Times int           `help:"How many kills (${default})." env:"FOODCTL_TIMES" default:"20" placeholder:"N"`
	Every time.Duration `help:"Time from one kill to the next; longer if the victim is not back yet (${default})." env:"FOODCTL_EVERY" default:"1s" placeholder:"D"`
	All   bool          `help:"Kill projectors and orderservice, too." env:"FOODCTL_ALL"`
	Keep  bool          `help:"Leave the trial's directory, databases and topics when it is over. A failed trial leaves them anyway." env:"FOODCTL_KEEP"`
	JSON  bool          `help:"Write an object per line instead of text." env:"FOODCTL_JSON" name:"json"`
}

// Help is what `foodctl demo kill --help` says beside the flags.
func (killCmd) Help() string {
	return `Runs a system of its own, beside any other: in a directory and on ports of its own, or with databases and a topic of
its own on the servers given by --brokers and --database-url. While orders flow, programs get SIGKILL and are started
again at once. Then the traffic stops, everything arrives, and the audit judges.

A kill that nobody feels proves nothing. So the trial counts the Kafka transactions that were broken off and the source
transactions that a restarted relay read again and dropped, and fails if there was neither.

Exit code: 0 the audit holds; 1 it does not, or no fault was felt; 2 undecided.`
}

// Run runs the trial.
func (c *killCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Times < 1 || c.Every <= 0 || c.Rate < 0 {
		return errors.New("--times must be at least 1, --every above 0, and --rate not below 0")
	}
	config, err := c.config(ctx)
	if err != nil {
		return err
	}
	style := status.StyleOf(out, c.JSON)
	screen := status.NewScreen(out, style)
	s, err := openSession(ctx, config, screen, style, log)
	if err != nil {
		return errors.Join(err, config.Directory.Remove())
	}
	screen.Text(fmt.Sprintf("a system of its own: %s, brokers %s, topic %s, logs in %s/log; %d kills, one every %s",
		s.Postgres(), s.Brokers(), config.Names.Topic, config.Directory.Path, c.Times, c.Every))
	err = c.trial(ctx, s)
	return errors.Join(err, c.close(context.WithoutCancel(ctx), s, config.Directory, err == nil))
}

// config is a system that no other knows of.
func (c *killCmd) config(ctx context.Context) (stack.Config, error) {
	ports, err := stack.FreePorts(ctx, c.Relays, c.Projectors)
	if err != nil {
		return stack.Config{}, err
	}
	path, err := os.MkdirTemp("", "foodctl-demo-")
	if err != nil {
		return stack.Config{}, err
	}
	// MkdirTemp shuts others out, and Postgres may have to run as another user.
	if err := os.Chmod(path, 0o755); err != nil { // what is secret in it has its own mode
		return stack.Config{}, err
	}
	dir, err := stack.OpenDirectory(path)
	if err != nil {
		return stack.Config{}, err
	}
	return stack.Config{
		Directory: dir, DatabaseURL: c.DatabaseURL, Brokers: c.Brokers, Ports: ports,
		Names: stack.ScratchNames("demo_" + strings.ToLower(rand.Text()[:8])), Relays: c.Relays, Projectors: c.Projectors,
		Traffic: stack.Traffic{Rate: c.Rate, Seed: c.Seed, Writers: c.Writers},
	}, nil
}

// close stops the system and removes it, unless there is something to look at.
func (c *killCmd) close(ctx context.Context, s *session, dir *stack.Directory, good bool) error {
	if err := s.close(ctx); err != nil {
		return err
	}
	if c.Keep || !good {
		s.screen.Notice("left to look at: %s; databases %s and %s, topic %s", dir.Path, s.names.OrdersDB, s.names.ReadModelDB, s.names.Topic)
		return dir.Close()
	}
	return errors.Join(s.Scrub(ctx), dir.Remove())
}

// trial kills, drains and judges.
func (c *killCmd) trial(ctx context.Context, s *session) error {
	flowing := func(context.Context) bool { return s.counts.Applied > 0 }
	if err := s.watch(ctx, flowing); err != nil {
		return err
	}
	k := newKiller(s, c)
	if err := k.run(ctx); err != nil {
		return err
	}
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
		s.screen.Notice("not everything has arrived; the audit will say what has not")
	}
	return k.judge(ctx)
}
