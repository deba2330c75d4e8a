// Package app is the program relay: it publishes the outbox of the orders database to Kafka, each event exactly once and
// in commit order.
//
// It is crash-only: there is one way to begin, the start protocol (see session), and every error leads to it. So a
// relay that was killed, one that lost its database or its brokers, and one that is started for the first time all go the
// same way, and there is no second one to get wrong.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/registry"
	"github.com/adamkwhite/kafkafoodpipeline/relay/spans"
)

// Parts of the relay that report to /readyz. A standby is ready: it does what it is there for.
const (
	healthRelay = "relay"
	healthWAL   = "wal"
)

// Exit codes, beside 0 and 1.
const (
	exitRefused  = 3 // a gate is closed: an operator must look
	exitUnusable = 4 // a topic, a right or a record is such that nothing can be published before somebody changes it
)

const (
	drainFor   = 10 * time.Second // how long a stop may take to commit what is at hand
	backOffMin = 100 * time.Millisecond
	backOffMax = 5 * time.Second
)

// errStopped is the cause of what ends because the operator stops the relay.
var errStopped = errors.New("stopped")

// gcPercent is how much garbage the collector waits for, as a part of what is in use (GOGC). A row leaves none, so that
// collections are rare, and half of the usual saves memory without costing time.
const gcPercent = 50

// Main runs the program with the command line and the streams of this process, and returns its exit code.
func Main() int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	return ops.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr), os.Stderr)
}

type commands struct {
	Run         runCommand     `cmd:"" default:"withargs" help:"Publish the outbox, or stand by while another relay does."`
	Recover     recoverCommand `cmd:"" help:"Fill the topic up from the outbox table and make the slot anew (of another outbox, keep a slot that can be read): after a lost slot, a lost topic or a restored database. Run it while no relay runs; killed, it can be run again."`
	Adopt       adoptCommand   `cmd:"" help:"Take over from a Debezium connector that was stopped, exactly: find out which events its slot would send that it has published, and have relay run begin behind them."`
	Doctor      doctorCommand  `cmd:"" help:"Check what a relay with this configuration needs of Postgres and Kafka, and say what is wrong and what mends it. Changes nothing, and may be run beside a relay. Exits with 0, or what relay run would end with: 3 or 4; with 1 if something could not be asked."`
	Status      statusCommand  `cmd:"" help:"Say which relay is active, how far behind it is, and when the slot would be lost. Changes nothing. Exits with 1 if something is not ready."`
	Pause       pauseCommand   `cmd:"" help:"Have all relays of the slot publish nothing until relay resume, also those that are started later, and return when none does. Nothing is lost, as long as Postgres keeps the log: relay status says how long."`
	Resume      resumeCommand  `cmd:"" help:"Let them publish again."`
	Healthcheck healthcheck    `cmd:"" help:"Ask a running relay whether it is live or ready; for container health checks."`
}

type healthcheck struct {
	ops.ProbeFlags `embed:""`

	Listen string `help:"Address that the relay listens at." env:"RELAY_LISTEN" default:"127.0.0.1:7482" placeholder:"HOST:PORT"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cli commands
	parser, err := kong.New(&cli, kong.Name("relay"),
		kong.Description("Publishes the outbox of the orders database to Kafka, each event exactly once and in commit order."),
		kong.Writers(stdout, stderr))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: fmt.Errorf("%w (see relay --help)", err)}
	}
	intake, stop := ops.Signals(ctx)
	defer stop()
	switch command.Command() {
	case "healthcheck", "healthcheck <probe>":
		return ops.Healthcheck(intake, cli.Healthcheck.Listen, cli.Healthcheck.Probe, cli.Healthcheck.TLSCert)
	case "recover":
		if cli.Recover.DryRun {
			return once(cli.Recover.config, stderr, func(r *relay) error { return exitCode(r.rehearse(intake, stdout)) })
		}
		return ops.Ended(cli.Recover.Log("relay", stderr), once(cli.Recover.config, stderr, func(r *relay) error { return exitCode(r.recover(intake)) }))
	case "adopt":
		return once(cli.Adopt.config, stderr, func(r *relay) error {
			return exitCode(r.session(intake, func(ctx context.Context, s *session) error { return s.adopt(ctx, cli.Adopt.DryRun, stdout) }))
		})
	case "doctor":
		return once(cli.Doctor.config, stderr, func(r *relay) error { return r.examine(intake, stdout, cli.Doctor.JSON) })
	case "status":
		return once(cli.Status.config, stderr, func(r *relay) error { return r.report(intake, &cli.Status, stdout) })
	case "pause":
		return once(cli.Pause.config, stderr, func(r *relay) error { return exitCode(r.pause(intake, stdout)) })
	case "resume":
		return once(cli.Resume.config, stderr, func(r *relay) error { return exitCode(r.resume(intake, stdout)) })
	default:
		log := cli.Run.Log("relay", stderr)
		r, err := cli.Run.relay(log)
		if err != nil {
			return ops.Ended(log, err)
		}
		guard, err := cli.Run.Access.Guard(log)
		if err != nil {
			return ops.Ended(log, &ops.ExitError{Code: 2, Err: err})
		}
		return ops.Ended(log, exitCode(r.serve(ctx, intake, cli.Run.Listen, guard)))
	}
}

func (c *runCommand) relay(log *slog.Logger) (*relay, error) {
	limits := defaultLimits()
	limits.spacing = c.Spacing
	r, err := newRelay(c.config, limits, c.OpenGate, log)
	if err != nil {
		return nil, err
	}
	if r.spans, err = spans.New(c.Flags, log, func(n int) { r.metrics.spansDropped.Add(float64(n)) }); err != nil {
		log.Warn("no spans are sent", "err", err) // the variables may be meant for other programs: no reason to publish nothing
	}
	return r, nil
}

// once makes a relay for a command that does one thing and is over.
func once(c config, stderr io.Writer, do func(*relay) error) error {
	r, err := newRelay(c, defaultLimits(), nil, c.Log("relay", stderr))
	if err != nil {
		return err
	}
	return do(r)
}

// newRelay returns an error for a database URL or a security of Kafka that cannot be understood: no new attempt would mend it.
func newRelay(c config, bounds limits, open []checkpoint.Gate, log *slog.Logger) (*relay, error) {
	if _, err := pgx.ParseConfig(c.DatabaseURL); err != nil || ops.Ambiguous(c.DatabaseURL) {
		return nil, &ops.ExitError{Code: 2, Err: errors.New("the database URL cannot be understood: want postgres://USER:PASSWORD@HOST:PORT/DATABASE, " +
			"with the characters / @ : # ? % of the password percent-encoded")}
	}
	if err := c.Check(); err != nil {
		return nil, &ops.ExitError{Code: 2, Err: err}
	}
	if _, err := c.Login(c.DatabaseURL); err != nil {
		return nil, &ops.ExitError{Code: 2, Err: err}
	}
	l, err := c.describe()
	if err != nil {
		return nil, &ops.ExitError{Code: 2, Err: err}
	}
	schemas, err := registry.Open(c.Registry, l.Own)
	if err == nil && schemas != nil && l.Binary() {
		err = errors.New("--schema-registry: the connector's value.converter is for bytes, which are no JSON, and which no reader could tell from a value " +
			"with a schema's id: leave one of the two out")
	}
	if err != nil {
		return nil, &ops.ExitError{Code: 2, Err: err}
	}
	exported := ops.Registry()
	metrics, health := register(exported)
	return &relay{config: c, layout: l, limits: bounds, open: open, log: log, registry: exported, metrics: metrics, health: health, schemas: schemas}, nil
}

// exitCode says by its code whether starting the relay again can help.
func exitCode(err error) error {
	var refusal *checkpoint.Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return &ops.ExitError{Code: exitRefused, Err: err}
	case permanent(err):
		return &ops.ExitError{Code: exitUnusable, Err: err}
	}
	return err
}

// serve publishes until intake ends, and serves health and metrics meanwhile.
func (r *relay) serve(ctx, intake context.Context, addr string, guard *auth.Guard) error {
	listener, err := ops.Listen(intake, addr)
	if err != nil {
		return err
	}
	r.log.Info("started", "build", ops.Version(), "listen", listener.Addr().String(), "topic", r.config.Topic,
		"slot", r.config.Slot, "database", ops.Redact(r.config.DatabaseURL))
	r.registry.MustRegister(guard)
	group, ctx := errgroup.WithContext(ctx)
	serving, stopServing := context.WithCancel(ctx)
	group.Go(func() error { return ops.ServeOn(serving, listener, guard, ops.Handler(r.registry, r.health)) })
	if r.spans != nil {
		group.Go(func() error { r.spans.Run(serving); return nil })
	}
	group.Go(func() error {
		defer stopServing()
		return r.supervise(ctx, intake)
	})
	return group.Wait()
}

// supervise runs sessions, one after the other, until intake ends or an error that no new session can mend.
func (r *relay) supervise(ctx, intake context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(intake, func() { time.AfterFunc(drainFor, cancel) })
	defer stop()
	pause := backOffMin
	for {
		began := time.Now()
		err := r.session(ctx, func(ctx context.Context, s *session) error { return s.run(ctx, intake) })
		switch {
		case intake.Err() != nil:
			return nil // what could not be committed is in the log and will be published by the next relay
		case errors.As(err, new(*paused)), errors.Is(err, errAgain): // a next session that waits, or reads the slot again
			pause = backOffMin
			continue
		case permanent(err), ctx.Err() != nil:
			return err
		}
		r.metrics.is(roleStarting)
		r.health.Set(healthRelay, fmt.Errorf("starting again: %w", err))
		if time.Since(began) > 2*backOffMax {
			pause = backOffMin
		}
		r.log.Warn("session ended, starting again", "err", err, "retry_seconds", pause.Seconds())
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-intake.Done():
		}
		pause = min(2*pause, backOffMax)
	}
}

// recover runs one session that loads.
func (r *relay) recover(ctx context.Context) error {
	return r.session(ctx, func(ctx context.Context, s *session) error { return s.recover(ctx) })
}

// session opens the connections, runs do with them, and closes them in the reverse order.
func (r *relay) session(parent context.Context, do func(context.Context, *session) error) (err error) {
	r.metrics.sessions.Inc()
	ctx, fail := context.WithCancelCause(parent)
	s := &session{relay: r, fail: fail}
	defer fail(nil)
	defer func() {
		if cause := context.Cause(parent); cause != nil {
			err = cause
		}
	}()
	if s.database, err = s.connect(ctx); err != nil {
		return err
	}
	defer func() { _ = s.database.Close(context.WithoutCancel(ctx)) }() // nothing was written
	if err := s.checkSchema(ctx, s.database); err != nil {
		return err
	}
	if s.kafka, err = publish.Connect(r.config.Brokers, r.config.Security, r.log); err != nil {
		return err
	}
	defer s.kafka.Close()
	monitored := make(chan struct{})
	watching, stopWatching := context.WithCancel(ctx)
	go func() {
		defer close(monitored)
		s.monitor(watching)
	}()
	defer func() {
		stopWatching()
		<-monitored
	}()
	defer s.release()
	defer func() {
		if s.producer != nil {
			s.producer.Close()
		}
	}()
	err = do(ctx, s)
	if cause := context.Cause(ctx); cause != nil { // what parts say that are pulled down together is less than the first one's reason
		err = cause
	}
	return s.certain(ctx, err)
}
