package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
)

type demoCmd struct {
	Kill      killCmd      `cmd:"" help:"kill -9 the relay again and again while orders flow, then audit."`
	Pause     pauseCmd     `cmd:"" set:"relays=2" help:"Stop the relay for longer than another needs to take over, let it go on, again and again, then audit."`
	Partition partitionCmd `cmd:"" set:"relays=2" help:"Cut the relay off from Kafka again and again while orders flow, then audit."`
	Naive     naiveCmd     `cmd:"" help:"The same kills with a publisher as one writes it first, in the relay's place: the audit finds its duplicates."`
}

type killCmd struct {
	trialFlags
	relayFlags

	Times int           `help:"How many kills (${default})." env:"FOODCTL_TIMES" default:"20" placeholder:"N"`
	Every time.Duration `help:"Time from one kill to the next; longer if the victim is not back yet (${default})." env:"FOODCTL_EVERY" default:"1s" placeholder:"D"`
	All   bool          `help:"Kill projectors and orderservice, too." env:"FOODCTL_ALL"`
}

// Help is what `foodctl demo kill --help` says beside the flags.
func (killCmd) Help() string {
	return `Runs a system of its own, beside any other: in a directory and on ports of its own, or with databases and a topic of
its own on the servers given by --brokers and --database-url. While orders flow, the relay (with --all projectors and orderservice,
too) gets SIGKILL and is started again at once; there is no live page. Then the traffic stops, everything arrives, and the audit judges.

A kill that nobody feels proves nothing. So the trial counts the Kafka transactions that were broken off and the source
transactions that a restarted relay read again and dropped, and fails if there was neither.

Exit code: 0 the audit holds; 1 it does not, or no fault was felt; 2 undecided.`
}

// Run runs the trial.
func (c *killCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	if err := errors.Join(c.trialFlags.check(), c.relayFlags.check()); err != nil {
		return err
	}
	if c.Times < 1 || c.Every <= 0 {
		return errors.New("--times must be at least 1, and --every above 0")
	}
	return trial{
		flags: c.trialFlags, system: stack.Config{Relays: c.Relays},
		plan:  fmt.Sprintf("%d kills, one every %s", c.Times, c.Every),
		begin: func(s *session) ordeal { return newKiller(s, c) },
	}.run(ctx, out, log)
}

type pauseCmd struct {
	trialFlags
	relayFlags

	Times int           `help:"How many pauses (${default})." env:"FOODCTL_TIMES" default:"4" placeholder:"N"`
	Every time.Duration `help:"Time from the end of one pause to the next (${default})." env:"FOODCTL_EVERY" default:"2s" placeholder:"D"`
	For   time.Duration `help:"How long a pause lasts. Postgres gives up on a relay that says nothing after 5 s, and only then another can take over (${default})." env:"FOODCTL_FOR" default:"8s" placeholder:"D"`
}

// Help is what `foodctl demo pause --help` says beside the flags.
func (pauseCmd) Help() string {
	return `Runs a system of its own, as demo kill does. While orders flow, the relay that publishes gets SIGSTOP in the middle of a
transaction. Another takes over. Then the first gets SIGCONT: it wakes with a transaction half sent, and believes that
it is still the one that publishes. What it had begun must not be committed. Then the traffic stops, everything arrives,
and the audit judges.

A pause that nobody feels proves nothing. So the trial counts the takeovers after which the woken relay gave way, and
fails if there was none.

Exit code: 0 the audit holds; 1 it does not, or no fault was felt; 2 undecided.`
}

// Run runs the trial.
func (c *pauseCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	if err := errors.Join(c.trialFlags.check(), c.relayFlags.check()); err != nil {
		return err
	}
	if c.Times < 1 || c.Every <= 0 || c.For <= 0 {
		return errors.New("--times must be at least 1, and --every and --for above 0")
	}
	if c.Relays < 2 {
		return fmt.Errorf("--relays %d: nobody could take over from one that is paused: give 2", c.Relays)
	}
	return trial{
		flags: c.trialFlags, system: stack.Config{Relays: c.Relays},
		plan:  fmt.Sprintf("%d pauses of %s, %s apart", c.Times, c.For, c.Every),
		begin: func(s *session) ordeal { return &pauser{session: s, c: c} },
	}.run(ctx, out, log)
}

type partitionCmd struct {
	trialFlags
	relayFlags

	Times int           `help:"How many cuts (${default})." env:"FOODCTL_TIMES" default:"4" placeholder:"N"`
	Every time.Duration `help:"Time from one recovery to the next cut (${default})." env:"FOODCTL_EVERY" default:"2s" placeholder:"D"`
	For   time.Duration `help:"How long a cut lasts, at least ${shortest}. After a minute or so the relay has given up, and another takes over (${default})." env:"FOODCTL_FOR" default:"8s" placeholder:"D"`
}

// Help is what `foodctl demo partition --help` says beside the flags.
func (partitionCmd) Help() string {
	return `Runs a system of its own, as demo kill does, with a proxy between each relay and Kafka. While orders flow, the proxy of
the relay that publishes lets nothing through for a while: connections stay open, requests and answers are held back in
silence, and orders go on being taken. Then everything passes again, what was held back first. Then the traffic stops,
everything arrives, and the audit judges.

A cut that nobody feels proves nothing. So the trial counts those in which publishing stood still while more events were
written, and fails if there was none.

Exit code: 0 the audit holds; 1 it does not, or no fault was felt; 2 undecided.`
}

// shortestCut is how long a cut must last for two readings of the status to fall into it.
const shortestCut = 3 * time.Second

// Run runs the trial.
func (c *partitionCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	if err := errors.Join(c.trialFlags.check(), c.relayFlags.check()); err != nil {
		return err
	}
	if c.Times < 1 || c.Every <= 0 || c.For < shortestCut {
		return fmt.Errorf("--times must be at least 1, --every above 0, and --for at least %s", shortestCut)
	}
	return trial{
		flags: c.trialFlags, system: stack.Config{Relays: c.Relays, Cables: true},
		plan:  fmt.Sprintf("%d cuts of %s, %s apart", c.Times, c.For, c.Every),
		begin: func(s *session) ordeal { return &cutter{session: s, c: c} },
	}.run(ctx, out, log)
}
