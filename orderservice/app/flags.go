package app

import (
	"io"
	"time"

	"github.com/alecthomas/kong"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/generator"
)

// cli is the command line. Each flag has a variable of the environment beside it, which --help names.
type cli struct {
	ops.Flags `embed:""`

	Version kong.VersionFlag `help:"Print the version and stop."`

	Run         runFlags         `cmd:"" default:"withargs" help:"Serve the API (the default)."`
	Healthcheck healthcheckFlags `cmd:"" help:"Ask the orderservice at --listen how it is: exit 0 if it is live or ready. For containers."`
}

type healthcheckFlags struct {
	Probe string `arg:"" optional:"" default:"ready" enum:"live,ready" help:"live or ready (${default})."`
}

type runFlags struct {
	ops.DatabaseFlags `embed:""`

	DatabaseURL string `required:"" env:"ORDERS_DATABASE_URL" placeholder:"URL" help:"The orders database, e.g. postgres://orders_api@127.0.0.1:7489/orders. Give a password in the environment, not as a flag: ps shows flags."`
	Connections int32  `default:"16" env:"ORDERSERVICE_CONNECTIONS" placeholder:"N" help:"Connections to the database at most (${default}); the generator's writers have theirs on top at --rate 0. More of them share the disk's flushes, and cost the database memory."`
	MaxInFlight int    `default:"256" env:"ORDERSERVICE_MAX_IN_FLIGHT" placeholder:"N" help:"Requests worked on at once (${default}); more are answered 503."`

	KeyRetention time.Duration `default:"24h" env:"ORDERSERVICE_KEY_RETENTION" placeholder:"D" help:"How long an Idempotency-Key is kept (${default}), 5m at least: within this time a command that is given again under its key is not done again."`

	Generate    bool    `env:"GENERATE" group:"Generated traffic" help:"Make traffic: simulated customers place orders and walk them through their life."`
	Rate        float64 `default:"10" env:"RATE" group:"Generated traffic" placeholder:"N" help:"Orders placed per second (${default}); 0: as fast as it can."`
	Orders      int64   `default:"0" env:"ORDERS" group:"Generated traffic" placeholder:"N" help:"Stop placing after so many orders; 0: no end."`
	Name        string  `name:"run" env:"RUN" group:"Generated traffic" placeholder:"NAME" help:"Name of the run: --orders then counts the orders of all processes with this name, those that crashed included."`
	Seed        uint64  `default:"1" env:"SEED" group:"Generated traffic" placeholder:"N" help:"Decides who orders what, and what becomes of it (${default})."`
	CancelRate  float64 `default:"0.06" env:"CANCEL_RATE" group:"Generated traffic" placeholder:"0..1" help:"Share of the orders that are cancelled (${default})."`
	RefundRate  float64 `default:"0.05" env:"REFUND_RATE" group:"Generated traffic" placeholder:"0..1" help:"Share of the orders of which money is asked back once they are paid (${default})."`
	FailureRate float64 `default:"0.08" env:"FAILURE_RATE" group:"Generated traffic" placeholder:"0..1" help:"Share of the orders whose payment, kitchen or delivery fails (${default})."`
	Writers     int     `default:"32" env:"WRITERS" group:"Generated traffic" placeholder:"N" help:"Orders worked on at once at --rate 0 (${default})."`
}

func options(stdout, stderr io.Writer) []kong.Option {
	return []kong.Option{
		kong.Name("orderservice"),
		kong.Description("Takes orders over HTTP and keeps them as events in Postgres. The same address has /livez, /readyz, /metrics and /version."),
		kong.Vars{"listen_env": "ORDERSERVICE_LISTEN", "listen": "127.0.0.1:7481", "version": ops.Version()},
		kong.Writers(stdout, stderr),
	}
}

// traffic is what the generator is to do.
func (f runFlags) traffic() generator.Config {
	t := generator.Default()
	t.Rate, t.Orders, t.Run, t.Seed, t.Writers = f.Rate, f.Orders, f.Name, f.Seed, f.Writers
	t.CancelRate, t.RefundRate, t.FailureRate = f.CancelRate, f.RefundRate, f.FailureRate
	return t
}
