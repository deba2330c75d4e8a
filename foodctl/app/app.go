// Package app is the program foodctl, the operator's tool: it runs the whole pipeline on one machine, breaks it on purpose,
// and checks that it kept its promise.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type cli struct {
	ops.LogFlags

	Up        upCmd        `cmd:"" help:"Run the whole pipeline on this machine, without Docker."`
	Verify    verifyCmd    `cmd:"" help:"Audit the pipeline: orders against topic against read model."`
	Watch     watchCmd     `cmd:"" help:"Show how many events are where, a line a second."`
	Order     orderCmd     `cmd:"" help:"Follow one order through the system: outbox, log, topic, read model."`
	Tail      tailCmd      `cmd:"" help:"Follow the topic, a line for each event."`
	SQL       sqlCmd       `cmd:"" name:"sql" help:"Ask one of the databases, read-only."`
	Explain   explainCmd   `cmd:"" help:"Say where each guarantee is kept, in which code and by which test."`
	Console   consoleCmd   `cmd:"" help:"Serve the live page of a running system."`
	Demo      demoCmd      `cmd:"" help:"Break the pipeline on purpose, and check that nothing is lost, repeated or out of order."`
	Bench     benchCmd     `cmd:"" help:"Measure throughput, latency and takeover, each figure with its check."`
	Load      loadCmd      `cmd:"" help:"Put a load on the orders API, and say how it was borne."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the databases to the schema of this version."`
	Topics    topicsCmd    `cmd:"" help:"Make the events' topic, or check the one that is there."`
	Contracts contractsCmd `cmd:"" help:"Check the events' schemas and the topic's AsyncAPI against the code, or write them."`
	Certs     certsCmd     `cmd:"" help:"Make a private authority, and certificates for servers and clients."`
	Token     tokenCmd     `cmd:"" help:"Make a token for the HTTP endpoints of the programs."`
	Version   versionCmd   `cmd:"" help:"Print the version."`

	NaivePublisher naivePublisherCmd `cmd:"" hidden:"" help:"Publish the outbox as one writes it first; for demo naive alone."`
}

const description = `Run, break and check the food order pipeline.

Start with "foodctl up", kill any of the programs that it started, and see with "foodctl verify" that every order reached the read
model exactly once. A flag with an environment variable behind it can also be given by that.`

// Main runs the program with the command line and the streams of this process, and returns its exit code.
func Main() int {
	return ops.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr), os.Stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	ctx, stop := ops.Signals(ctx)
	defer stop()
	var c cli
	parser, err := c.parser(stdout, stderr)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: fmt.Errorf("%w (see %s --help)", err, asked(err))}
	}
	log := c.Log("foodctl", stderr)
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.BindTo(stdout, (*io.Writer)(nil))
	parsed.Bind(log, progressTo(stderr))
	return parsed.Run()
}

// asked is the command whose flags or arguments could not be understood.
func asked(err error) string {
	if wrong, is := errors.AsType[*kong.ParseError](err); is && wrong.Context != nil && wrong.Context.Selected() != nil {
		return wrong.Context.Selected().FullPath()
	}
	return "foodctl"
}

func (c *cli) parser(stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("foodctl"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Vars{"relays": "1", "shortest": shortestCut.String()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	)
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(out io.Writer) error {
	_, err := io.WriteString(out, ops.Version()+"\n")
	return err
}
