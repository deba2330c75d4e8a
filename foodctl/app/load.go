package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/load"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type loadCmd struct {
	ops.DatabaseFlags `embed:""`
	auth.ClientFlags  `embed:""`

	To          string        `help:"The orders API, http(s)://HOST:PORT, or the orders database, postgres://..., for its event log without the API (${default})." env:"FOODCTL_TO" default:"http://127.0.0.1:7481" placeholder:"URL"`
	Profile     load.Shape    `help:"How the rate goes with time: constant; ramp, from --rate up to --peak; spike, --peak in the middle fifth; soak, constant for long, which prints a line per interval and the drift of the p99 (${default})." enum:"constant,ramp,spike,soak" default:"constant" env:"FOODCTL_PROFILE" placeholder:"SHAPE" group:"When"`
	Rate        float64       `help:"Requests a second (${default})." env:"RATE" default:"100" placeholder:"N" group:"When"`
	Peak        float64       `help:"Highest rate of ramp and spike. Default: four times --rate." env:"FOODCTL_PEAK" placeholder:"N" group:"When"`
	Duration    time.Duration `help:"How long. Default: 30s, for soak 1h." env:"FOODCTL_DURATION" placeholder:"DURATION" group:"When"`
	MaxInFlight int           `help:"Requests under way at once at most (${default}). Others wait, and that counts in their latency." env:"FOODCTL_MAX_IN_FLIGHT" default:"128" placeholder:"N" group:"When"`

	Act       float64 `help:"Share of the requests that move an order on: pay, accept, ... (${default})." env:"FOODCTL_ACT" default:"0.4" placeholder:"0..1" group:"What"`
	Read      float64 `help:"Share of the requests that read an order (${default}); the rest place orders." env:"FOODCTL_READ" default:"0.3" placeholder:"0..1" group:"What"`
	Invalid   float64 `help:"Share of the commands that are wrong on purpose, and must be refused (${default})." env:"FOODCTL_INVALID" default:"0" placeholder:"0..1" group:"What"`
	Duplicate float64 `help:"Share of the commands that are given twice with one Idempotency-Key, and must have one effect (${default})." env:"FOODCTL_DUPLICATE" default:"0" placeholder:"0..1" group:"What"`
	Customers int     `help:"Customers who order, from the first on (${default})." env:"FOODCTL_CUSTOMERS" default:"100" placeholder:"N" group:"What"`
	Items     int     `help:"Items that are ordered, from the menu's first on. Default: all." env:"FOODCTL_ITEMS" placeholder:"N" group:"What"`
	Zipf      float64 `help:"How much the first customers and items are preferred: exponent of a Zipf distribution, above 1; 0: not at all (${default})." env:"FOODCTL_ZIPF" default:"1.1" placeholder:"S" group:"What"`
	Seed      uint64  `help:"Decides what each request is about (${default})." env:"SEED" default:"1" placeholder:"N" group:"What"`

	JSON bool   `help:"Print one JSON object instead of text." env:"FOODCTL_JSON" name:"json"`
	HTML string `help:"Also write the report as a page with curves into this file." env:"FOODCTL_HTML" name:"html" type:"path" placeholder:"FILE"`
}

// Help is what `foodctl load --help` says beside the flags.
func (loadCmd) Help() string {
	return `Requests are due at times that the profile alone decides, whatever the answers (open loop). Latency counts from then, so that a
stall is charged with all that it kept waiting; service time, from the sending to the answer, stands beside it. Each answer is held
against what it had to be: the status of each flaw, one effect of what is given twice, a read that is not older than an earlier answer.

Ctrl-C ends it with the report of what was until then. Let nothing else run beside it, or at least not on the processors that it needs itself.

Exit code: 0; 1 if an answer was not as it had to be, or nothing was done at all. Being turned away (503) is an outcome like another.`
}

// Run loads and prints.
func (c *loadCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger, p progress) error {
	target, err := c.target(ctx, log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	defer target.Close()
	// Before the load: an hour's report should not be lost to a directory that is not there.
	sheet, err := c.sheet()
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	r, err := load.Run(ctx, c.config(p), target)
	if err != nil {
		return errors.Join(err, sheet.discard())
	}
	if err := errors.Join(sheet.finish(r), c.print(out, r)); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if r.Violated() {
		return &ops.ExitError{Code: 1}
	}
	return nil
}

func (c *loadCmd) target(ctx context.Context, log *slog.Logger) (load.Target, error) {
	if strings.HasPrefix(c.To, "postgres://") || strings.HasPrefix(c.To, "postgresql://") {
		address, err := c.Login(c.To)
		if err != nil {
			return nil, err
		}
		return load.Log(ctx, address, min(c.MaxInFlight, mostConnections))
	}
	client, err := c.Client(log)
	if err != nil {
		return nil, err
	}
	return load.API(c.To, client)
}

// mostConnections of a load's own to the database: a server takes 100 by itself. More can be had by pool_max_conns in the
// URL.
const mostConnections = 32

func (c *loadCmd) config(p progress) load.Config {
	cfg := load.Config{
		Profile: load.Profile{Shape: c.Profile, Rate: c.Rate, Duration: c.Duration},
		Mix: load.Mix{
			Act: c.Act, Read: c.Read, Invalid: c.Invalid, Duplicate: c.Duplicate,
			Customers: c.Customers, Items: c.Items, Zipf: c.Zipf, Seed: c.Seed,
		},
		MaxInFlight: c.MaxInFlight, Progress: p,
	}
	if c.Profile == load.Ramp || c.Profile == load.Spike {
		if cfg.Peak = c.Peak; cfg.Peak == 0 {
			cfg.Peak = 4 * c.Rate
		}
	}
	if c.Duration == 0 {
		cfg.Duration = 30 * time.Second
		if c.Profile == load.Soak {
			cfg.Duration = time.Hour
		}
	}
	return cfg
}

func (c *loadCmd) print(out io.Writer, r load.Report) error {
	if !c.JSON {
		return r.Write(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// sheet is where the report goes as HTML: a file beside the one that was asked for, which takes its place when it is whole.
// nil if none was asked for.
type sheet struct {
	*os.File

	path string
}

func (c *loadCmd) sheet() (*sheet, error) {
	if c.HTML == "" {
		return nil, nil //nolint:nilnil // none is no error
	}
	file, err := os.CreateTemp(filepath.Dir(c.HTML), ".foodctl-load-*")
	if err != nil {
		return nil, fmt.Errorf("--html: %w", err)
	}
	return &sheet{file, c.HTML}, nil
}

func (p *sheet) discard() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.Close(), os.Remove(p.Name()))
}

func (p *sheet) finish(r load.Report) error {
	if p == nil {
		return nil
	}
	if err := errors.Join(r.WriteHTML(p), p.Chmod(0o644)); err != nil {
		return errors.Join(err, p.discard())
	}
	return errors.Join(p.Close(), os.Rename(p.Name(), p.path))
}
