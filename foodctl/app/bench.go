package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/bench"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type benchCmd struct {
	Relay    benchRelayCmd    `cmd:"" help:"How fast the relay drains a backlog, beside what this machine can do at most."`
	Latency  benchLatencyCmd  `cmd:"" help:"How long an event takes from its commit to a reader."`
	Failover benchFailoverCmd `cmd:"" help:"How long a standby takes to take over."`

	Orders    benchOrdersCmd    `cmd:"" help:"How fast orders are placed, by HTTP and by the event log, beside pgbench with the same statements."`
	Projector benchProjectorCmd `cmd:"" help:"How fast the projector makes read models, beside what this machine can do at most."`
}

// reportFlags are what all benches have in common.
type reportFlags struct {
	JSON bool `help:"Print one JSON object instead of text." env:"FOODCTL_JSON" name:"json"`
}

// benchFlags are those of the benches that take events through Kafka.
type benchFlags struct {
	DatabaseURL string `help:"Postgres server to use (15 or newer, wal_level=logical), as a superuser. Default: a private one." env:"DATABASE_URL" placeholder:"URL"`
	Brokers     string `help:"Kafka brokers to use (4.0 or newer), comma-separated. Default: a private Apache Kafka, which takes Java 17 and make kafka." env:"KAFKA_BROKERS" placeholder:"HOST:PORT,..."`

	reportFlags
}

// progress tells on stderr what is going on: what goes to stdout is the result.
type progress func(text string)

func progressTo(stderr io.Writer) progress {
	return func(text string) { fmt.Fprintln(stderr, "... "+text) }
}

func (f benchFlags) config(p progress) bench.Config {
	return bench.Config{DatabaseURL: f.DatabaseURL, Brokers: f.Brokers, Progress: p}
}

// report is what a bench came to.
type report interface{ Write(w io.Writer) error }

// print prints the report of a bench that ended with err. Void figures are exit code 1; the report has said why. One that
// Ctrl-C has ended is exit code 2: nothing is known.
func (f reportFlags) print(ctx context.Context, out io.Writer, r report, void bool, err error) error {
	switch {
	case err != nil && ctx.Err() != nil:
		return &ops.ExitError{Code: 2, Err: fmt.Errorf("stopped before everything was measured and checked: %w", err)}
	case err != nil:
		return err
	case f.JSON:
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(r)
	default:
		err = r.Write(out)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if void {
		return &ops.ExitError{Code: 1}
	}
	return nil
}

type benchRelayCmd struct {
	benchFlags

	Rows           int64 `help:"Events of each backlog (${default})." env:"FOODCTL_ROWS" default:"1000000" placeholder:"N"`
	PerTransaction []int `help:"Events a transaction, a backlog for each (${default})." env:"FOODCTL_PER_TRANSACTION" name:"tx" default:"1000,10,1" placeholder:"N,..."`
}

// Help is what `foodctl bench relay --help` says beside the flags.
func (benchRelayCmd) Help() string {
	return `Fills the outbox while the relay is away, reads the log with bare readers, writes the records with bare producers, both at
once, and then lets the relay drain it: all on the same machine, one after the other. What the relay published is compared
with the rows, byte for byte. docs/performance.md says what each figure means. Takes some 5 GB below TMPDIR and some
minutes; let nothing else run.

Exit code: 0; 1 if the check found anything, the figures are void then.`
}

// Run measures and prints.
func (c *benchRelayCmd) Run(ctx context.Context, out io.Writer, p progress) error {
	r, err := bench.Backlog{Config: c.config(p), Rows: c.Rows, PerTransaction: c.PerTransaction}.Run(ctx)
	return c.print(ctx, out, r, r.Void, err)
}

type benchLatencyCmd struct {
	benchFlags

	Rates []float64     `help:"Events a second, one after the other (${default})." env:"FOODCTL_RATES" default:"10,1000,5000" placeholder:"N,..."`
	For   time.Duration `help:"How long each (${default})." env:"FOODCTL_FOR" default:"30s" placeholder:"DURATION"`
}

// Help is what `foodctl bench latency --help` says beside the flags.
func (benchLatencyCmd) Help() string {
	return `Writes one event a transaction at times that were fixed before, and measures from the answer to COMMIT until a read_committed
consumer has the event. Then it compares what was published with the rows, byte for byte.

Exit code: 0; 1 if the check found anything, the figures are void then.`
}

// Run measures and prints.
func (c *benchLatencyCmd) Run(ctx context.Context, out io.Writer, p progress) error {
	r, err := bench.Latency{Config: c.config(p), Rates: c.Rates, For: c.For}.Run(ctx)
	return c.print(ctx, out, r, r.Void, err)
}

type benchFailoverCmd struct {
	benchFlags

	Faults []bench.Fault `help:"What happens to the relay that publishes (${default}). cut takes the private Kafka." env:"FOODCTL_FAULTS" enum:"kill,pause,cut" default:"kill,pause,cut" placeholder:"FAULT,..."`
	Rounds int           `help:"How often each (${default})." env:"FOODCTL_ROUNDS" default:"20" placeholder:"N"`
	Rate   float64       `help:"Events a second, all the time (${default})." env:"RATE" default:"100" placeholder:"N"`
}

// Help is what `foodctl bench failover --help` says beside the flags.
func (benchFailoverCmd) Help() string {
	return `Runs two relays while events flow. The one that publishes gets SIGKILL (kill), SIGSTOP (pause), or is cut off from Postgres
and Kafka with its connections left open (cut); the time is taken until the first event that was committed after that is
delivered to a read_committed consumer. The one that was struck must come back as standby. Then what was published is
compared with the rows, byte for byte.

Exit code: 0; 1 if the check found anything, the figures are void then. A takeover above the limit is counted, and no error.`
}

// Run measures and prints.
func (c *benchFailoverCmd) Run(ctx context.Context, out io.Writer, p progress) error {
	r, err := bench.Failover{Config: c.config(p), Faults: c.Faults, Rounds: c.Rounds, Rate: c.Rate}.Run(ctx)
	return c.print(ctx, out, r, r.Void, err)
}

type benchProjectorCmd struct {
	benchFlags

	Parts          []bench.Part  `help:"What to measure (${default})." env:"FOODCTL_PARTS" enum:"replay,latency,takeover,growth" default:"replay,latency,takeover" placeholder:"PART,..."`
	Open           int           `help:"Orders that are on their way at a time (${default}). The more there are, the fewer events of a batch share a row." env:"FOODCTL_OPEN" default:"1000" placeholder:"N"`
	Events         int64         `help:"Events of the topic that is replayed (${default})." env:"FOODCTL_EVENTS" default:"1000000" placeholder:"N"`
	Members        []int         `help:"Group members, a replay for each (${default})." env:"FOODCTL_MEMBERS" default:"1,3" placeholder:"N,..."`
	Rates          []float64     `help:"Latency: events a second, one after the other (${default})." env:"FOODCTL_RATES" default:"10,1000,5000" placeholder:"N,..."`
	For            time.Duration `help:"Latency: how long each (${default})." env:"FOODCTL_FOR" default:"30s" placeholder:"DURATION"`
	Faults         []bench.Fault `help:"Takeover: what happens to one of two projectors (${default})." env:"FOODCTL_FAULTS" enum:"kill,pause" default:"kill,pause" placeholder:"FAULT,..."`
	Rounds         int           `help:"Takeover: how often each (${default})." env:"FOODCTL_ROUNDS" default:"20" placeholder:"N"`
	Rate           float64       `help:"Takeover: events a second, all the time (${default})." env:"RATE" default:"100" placeholder:"N"`
	Orders         []int64       `help:"Growth: orders that the read model holds already, one run for each (${default})." env:"FOODCTL_ORDERS" default:"0,1000000" placeholder:"N,..."`
	SessionTimeout time.Duration `help:"Takeover: the projectors' session timeout (${default}), the brokers' least unless they are told otherwise." env:"FOODCTL_SESSION_TIMEOUT" default:"6s" placeholder:"DURATION"`
}

// Help is what `foodctl bench projector --help` says beside the flags.
func (benchProjectorCmd) Help() string {
	return `Fills a topic with the lives of orders and lets projectors bring it into fresh read models, beside bare clients that write the same
rows by COPY and by the projector's own statements, recorded off the wire. Then it measures how long a record takes into the read
model, and how long the partitions of a projector that is killed or stopped stand still; with --parts growth, how that is in a read
model that holds many orders already. What was made is compared with the fold of
the events. docs/performance.md says what each figure means. Takes some 10 GB below TMPDIR and some minutes; let nothing else run.

Exit code: 0; 1 if the check found anything, the figures are void then.`
}

// Run measures and prints.
func (c *benchProjectorCmd) Run(ctx context.Context, out io.Writer, p progress) error {
	r, err := bench.Projector{
		Config: c.config(p), Parts: c.Parts, Open: c.Open, Events: c.Events, Members: c.Members, Rates: c.Rates, For: c.For,
		Faults: c.Faults, Rounds: c.Rounds, Rate: c.Rate, Session: c.SessionTimeout, Orders: c.Orders,
	}.Run(ctx)
	return c.print(ctx, out, r, r.Void, err)
}

type benchOrdersCmd struct {
	DatabaseURL string `help:"Postgres server to use (15 or newer), as a superuser. Default: a private one." env:"DATABASE_URL" placeholder:"URL"`

	reportFlags

	Writers []int         `help:"Writers at once, a measurement for each (${default})." env:"FOODCTL_WRITERS" default:"1,8,64" placeholder:"N,..."`
	For     time.Duration `help:"How long pgbench, the event log and HTTP each, in each round (${default})." env:"FOODCTL_FOR" default:"5s" placeholder:"DURATION"`
	Rounds  int           `help:"How often these three take turns (${default})." env:"FOODCTL_ROUNDS" default:"3" placeholder:"N"`
}

// Help is what `foodctl bench orders --help` says beside the flags.
func (benchOrdersCmd) Help() string {
	return `Places orders with so many writers at once, each waiting for its answer: pgbench, saying the statements that the event log says,
recorded before; the event log in this process; and orderservice, as its users run it, over HTTP. The three take turns on one server. Then
half of the most that HTTP has reached is put on orderservice in an open loop, as by foodctl load. At last each order that was answered
must be in the log. docs/performance.md says what each figure means. Takes pgbench (Debian: postgresql-15), and with what it does by
itself two minutes.

Exit code: 0; 1 if the check found anything, the figures are void then. A target that is missed is said, and no error.`
}

// Run measures and prints.
func (c *benchOrdersCmd) Run(ctx context.Context, out io.Writer, p progress) error {
	r, err := bench.Orders{
		Config: bench.Config{DatabaseURL: c.DatabaseURL, Progress: p}, Writers: c.Writers, For: c.For, Rounds: c.Rounds,
	}.Run(ctx)
	return c.print(ctx, out, r, r.Void, err)
}
