package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type verifyCmd struct {
	systemFlags `embed:""`

	Slot      string        `help:"The relay's replication slot (${default})." env:"RELAY_SLOT" default:"food_orders" placeholder:"NAME"`
	Timeout   time.Duration `help:"How long to wait until everything that is committed now has arrived (${default})." env:"VERIFY_TIMEOUT" default:"30s" placeholder:"DURATION"`
	Offenders int           `help:"How many findings to list (${default})." env:"VERIFY_OFFENDERS" default:"20" placeholder:"N"`
	JSON      bool          `help:"Print the report as JSON." env:"VERIFY_JSON"`
}

// Help is shown below the command's own line.
func (verifyCmd) Help() string {
	return `Works out from the outbox table alone which events must be in the topic and what the read model must say, reads both, and
compares, event by event and row by row. Traffic may flow meanwhile. It only reads, and needs SELECT on both databases.

Exit code: 0 everything holds; 1 something is violated, the first findings are listed; 2 it could not be decided, the
report says why and what to do.`
}

// Run audits and prints the report.
func (c verifyCmd) Run(ctx context.Context, out io.Writer, log *slog.Logger) error {
	cfg, err := c.config(ctx, log)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	report, err := audit.Run(ctx, cfg)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.Write(out)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return verdictError(report.Verdict)
}

func (c verifyCmd) config(ctx context.Context, log *slog.Logger) (audit.Config, error) {
	cfg := audit.Config{
		Brokers: broker.Seeds(c.Brokers), Security: c.Security,
		Topic: c.Topic, Slot: c.Slot, Timeout: c.Timeout, Offenders: c.Offenders, Log: log,
	}
	if c.Timeout <= 0 || c.Offenders < 1 || len(cfg.Brokers) == 0 {
		return cfg, errors.New("--timeout and --offenders must be above 0, and --brokers not empty")
	}
	var err error
	cfg.OrdersURL, cfg.ReadModelURL, err = c.databases(ctx)
	return cfg, err
}
