package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// trialFlags are what all trials have in common.
type trialFlags struct {
	serverFlags
	sizeFlags

	Rate float64 `help:"Orders per second; 0: as fast as it can (${default})." env:"RATE" default:"50" placeholder:"N"`
	Keep bool    `help:"Leave the trial's directory, databases and topics when it is over. A failed trial leaves them anyway." env:"FOODCTL_KEEP"`
	JSON bool    `help:"Write an object per line instead of text." env:"FOODCTL_JSON" name:"json"`
}

func (f trialFlags) check() error {
	return errors.Join(checkRate(f.Rate), f.sizeFlags.check())
}

// config is a system that no other knows of, as c says and the flags.
func (f trialFlags) config(ctx context.Context, c stack.Config) (stack.Config, error) {
	ports, err := stack.FreePorts(ctx, c.Relays, f.Projectors)
	if err != nil {
		return stack.Config{}, err
	}
	if c.Directory, err = scratchDirectory(); err != nil {
		return stack.Config{}, err
	}
	c.DatabaseURL, c.Brokers, c.Ports, c.Projectors = f.DatabaseURL, f.Brokers, ports, f.Projectors
	c.Names = stack.ScratchNames("demo_" + strings.ToLower(rand.Text()[:8]))
	c.Traffic = stack.Traffic{Rate: f.Rate, Seed: f.Seed, Writers: f.Writers}
	return c, nil
}

// scratchDirectory makes a directory for one trial.
func scratchDirectory() (*stack.Directory, error) {
	path, err := os.MkdirTemp("", "foodctl-demo-")
	if err != nil {
		return nil, err
	}
	// MkdirTemp shuts others out, and Postgres may have to run as another user.
	err = os.Chmod(path, 0o755) // what is secret in it has its own mode
	if err == nil {
		var dir *stack.Directory
		if dir, err = stack.OpenDirectory(path); err == nil {
			return dir, nil
		}
	}
	return nil, errors.Join(err, os.RemoveAll(path))
}

// ordeal is what a system is put through in a trial.
type ordeal interface {
	// strike strikes, again and again, while orders flow.
	strike(ctx context.Context) error
	// toll counts what came of it. Everything has arrived by then, as far as it will.
	toll(ctx context.Context) (fmt.Stringer, error)
	// judge gives the trial's result, nil for a good one, when toll and audit have been shown.
	judge(r audit.Report) error
}

// trial is a system of its own that is put through an ordeal while orders flow, and then audited.
type trial struct {
	flags    trialFlags
	system   stack.Config // what is special about it
	plan     string       // what will be done to it
	begin    func(*session) ordeal
	control  bool          // is to fail, so that a failure leaves nothing to look at
	patience time.Duration // how long nothing may arrive at the end; 0: patience
}

// run runs the trial and removes the system, unless there is something to look at.
func (t trial) run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	config, err := t.flags.config(ctx, t.system)
	if err != nil {
		return err
	}
	style := status.StyleOf(out, t.flags.JSON)
	screen := status.NewScreen(out, style)
	s, err := openSession(ctx, config, screen, style, log)
	if err != nil {
		return errors.Join(err, config.Directory.Remove())
	}
	screen.Text(fmt.Sprintf("a system of its own: %s, brokers %s, topic %s, logs in %s/log; %s",
		s.Postgres(), s.Brokers(), config.Names.Topic, config.Directory.Path, t.plan))
	good, err := t.hold(ctx, s)
	return errors.Join(err, t.close(context.WithoutCancel(ctx), s, config.Directory, good))
}

// close stops the system and removes it, unless there is something to look at.
func (t trial) close(ctx context.Context, s *session, dir *stack.Directory, good bool) error {
	if err := s.close(ctx); err != nil {
		return err
	}
	if t.flags.Keep || !good {
		s.screen.Notice("left to look at: %s; databases %s and %s, topic %s", dir.Path, s.names.OrdersDB, s.names.ReadModelDB, s.names.Topic)
		return dir.Close()
	}
	return errors.Join(s.Scrub(ctx), dir.Remove())
}

// hold holds the trial: the ordeal, then everything arrives, then the audit. It returns whether all came as it was to.
func (t trial) hold(ctx context.Context, s *session) (good bool, err error) {
	flowing := func(context.Context) bool { return s.counts.Applied > 0 }
	if err := s.watch(ctx, flowing); err != nil {
		return false, err
	}
	o := t.begin(s)
	if err := s.beside(ctx, o.strike); err != nil {
		return false, err
	}
	arrived, err := s.drain(ctx, cmp.Or(t.patience, patience))
	if err != nil {
		return false, err
	}
	s.screen.Status(s.counts)
	s.screen.End()
	if ctx.Err() != nil {
		return false, &ops.ExitError{Code: 2, Err: errors.New("stopped before the audit")}
	}
	if !arrived {
		s.screen.Notice("not everything has arrived; the audit will say what has not")
	}
	toll, err := o.toll(ctx)
	if err != nil {
		return false, err
	}
	s.screen.Object(toll)
	s.screen.Text(toll.String())
	report, err := s.audit(ctx)
	if err != nil {
		return false, err
	}
	if err := s.show(report); err != nil {
		return false, err
	}
	err = o.judge(report)
	return err == nil || t.control, err
}

// proven is the result of a trial that is to hold: the audit's verdict, and if nothing was felt why that proves nothing.
func proven(r audit.Report, felt bool, why string) error {
	if err := verdictError(r.Verdict); err != nil || felt {
		return err
	}
	return &ops.ExitError{Code: 1, Err: errors.New(why)}
}

// beside does something while the status is shown.
func (s *session) beside(ctx context.Context, do func(context.Context) error) (err error) {
	doing, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- do(doing) }()
	watching := s.watch(ctx, func(context.Context) bool {
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	})
	if watching != nil {
		stop()
		return errors.Join(watching, ignoreCancel(<-ended))
	}
	return err
}

// ignoreCancel drops the error of having been told to stop.
func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
