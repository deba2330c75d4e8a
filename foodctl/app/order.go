package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type orderCmd struct {
	systemFlags `embed:""`

	ID   string `arg:"" help:"The order's id, as the orders API and foodctl tail print it." placeholder:"ID"`
	JSON bool   `help:"Print one JSON object instead of a table." env:"FOODCTL_JSON" name:"json"`
}

// Help is what `foodctl order --help` says beside the flags.
func (orderCmd) Help() string {
	return `Shows one order's way through the system, times in UTC: each event of the outbox, how long after the decision its transaction
committed, where it stood in Postgres's log (its transaction's commit LSN and its place in it), where its record is in the
topic (partition@offset), and whether the read model has it. Each place is asked, none is taken at its word: a record that
another one says is there, and that was not found, has a question mark.

Exit code: 0 all of it is in the read model; 1 nobody knows the order; 2 something is on its way, blocked, or could not be
asked, and the last lines say what.`
}

// Run prints the order's life.
func (c *orderCmd) Run(ctx context.Context, out io.Writer) error {
	l, err := c.read(ctx)
	if errors.Is(err, life.ErrUnknown) {
		return &ops.ExitError{Code: 1, Err: fmt.Errorf("%w: it is neither in the orders database nor in the read model; foodctl tail shows orders that are", err)}
	}
	if err != nil {
		return &ops.ExitError{Code: 2, Err: err}
	}
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(l)
	} else {
		err = l.Write(out)
	}
	if err != nil {
		return fmt.Errorf("print the order: %w", err)
	}
	if !l.Complete() || len(l.Trouble) > 0 {
		return &ops.ExitError{Code: 2}
	}
	return nil
}

func (c *orderCmd) read(ctx context.Context) (life.Life, error) {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return life.Life{}, fmt.Errorf("%q is no order's id: it has the form 01a22079-7629-7722-b50c-a9cc6fbf7671", c.ID)
	}
	orders, readModel, err := c.databases(ctx)
	if err != nil {
		return life.Life{}, err
	}
	reader, err := life.Open(ctx, life.Config{
		OrdersURL: orders, ReadModelURL: readModel, Brokers: broker.Seeds(c.Brokers), Security: c.Security, Topic: c.Topic,
	})
	if err != nil {
		return life.Life{}, err
	}
	defer reader.Close()
	return reader.Read(ctx, id)
}
