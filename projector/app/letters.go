package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// lettersCommand is projector letters.
type lettersCommand struct {
	List    listLetters    `cmd:"" default:"withargs" help:"List the orders that are blocked, and records that are no order's event."`
	Show    showLetters    `cmd:"" help:"Show letters with what the record said."`
	Redrive redriveLetters `cmd:"" help:"Apply waiting letters, oldest first, as far as they can be now. Exits with 1 if some still wait."`
	Discard discardLetters `cmd:"" help:"Give up waiting letters: what they say is never applied. An order stays blocked by the hole that its own event leaves."`
}

// lettersOf is which letters are meant: an order's, or a record's.
type lettersOf struct{ view.Which }

// UnmarshalText reads ORDER or PARTITION:OFFSET. The offset is below 0 if the event was loaded out of the outbox.
func (l *lettersOf) UnmarshalText(text []byte) error {
	part, offset, place := strings.Cut(string(text), ":")
	if !place {
		order, err := uuid.ParseBytes(text)
		if err != nil || order == uuid.Nil {
			return fmt.Errorf("%q: want an order's id, or PARTITION:OFFSET of a record", text)
		}
		l.Order = order
		return nil
	}
	p, errPart := strconv.ParseInt(part, 10, 32)
	o, errOffset := strconv.ParseInt(offset, 10, 64)
	if errPart != nil || errOffset != nil || p < 0 {
		return fmt.Errorf("%q: want PARTITION:OFFSET, as in 2:1042", text)
	}
	l.Record = &view.Place{Part: int32(p), Offset: o}
	return nil
}

type listLetters struct {
	readModelFlags `embed:""`

	State string `help:"Letters that are waiting, redriven or discarded (${default}), or all." enum:"waiting,redriven,discarded,all" default:"waiting"`
	JSON  bool   `name:"json" help:"Print JSON, a letter each."`
}

func (c *listLetters) run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(v *view.View) error {
		which := view.Which{State: c.State}
		if c.State == "all" {
			which.State = ""
		}
		letters, err := v.Letters(ctx, which)
		if err != nil {
			return err
		}
		if c.JSON {
			return printLettersJSON(out, letters)
		}
		return printBlocked(out, letters, c.State)
	})
}

type showLetters struct {
	readModelFlags `embed:""`

	Of   lettersOf `arg:"" name:"order|partition:offset" help:"An order's id, or a record's place."`
	JSON bool      `name:"json" help:"Print JSON."`
}

var errNoLetter = errors.New("there is no such letter; projector letters list --state all lists them")

func (c *showLetters) run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(v *view.View) error {
		letters, err := v.Letters(ctx, c.Of.Which)
		switch {
		case err != nil:
			return err
		case len(letters) == 0:
			return errNoLetter
		case c.JSON:
			return printLettersJSON(out, letters)
		}
		return printLetters(out, letters)
	})
}

type redriveLetters struct {
	readModelFlags `embed:""`

	Order string `arg:"" optional:"" help:"The order whose letters to apply."`
	All   bool   `help:"Those of all orders. A record that is no order's event can only be discarded."`
}

// Validate is called by kong.
func (c *redriveLetters) Validate() error {
	if (c.Order == "") != c.All {
		return errors.New("name an order, or give --all")
	}
	if _, err := uuid.Parse(c.Order); err != nil && !c.All {
		return fmt.Errorf("%q is not an order's id", c.Order)
	}
	return nil
}

func (c *redriveLetters) run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(v *view.View) error {
		orders, err := c.orders(ctx, v)
		if err != nil {
			return err
		}
		left := 0
		for _, order := range orders {
			done, err := v.Redrive(ctx, order, consumer.Decode)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "order %s: %s\n", order, redriven(done))
			left += done.Left
		}
		if left > 0 {
			return &ops.ExitError{Code: 1, Err: fmt.Errorf("%s", counted(left, "letter still waits", "letters still wait"))}
		}
		return nil
	})
}

func (c *redriveLetters) orders(ctx context.Context, v *view.View) ([]uuid.UUID, error) {
	which := view.Which{State: "waiting"}
	if !c.All {
		which.Order = uuid.MustParse(c.Order) // Validate has looked
	}
	letters, err := v.Letters(ctx, which)
	if err != nil {
		return nil, err
	}
	orders := view.Orders(letters)
	if len(orders) == 0 && !c.All {
		return nil, errNoLetter
	}
	return orders, nil
}

type discardLetters struct {
	readModelFlags `embed:""`

	Of     lettersOf `arg:"" name:"order|partition:offset" help:"An order's id, or a record's place."`
	Reason string    `required:"" help:"Why. It is kept with the letters."`
}

// Validate is called by kong.
func (c *discardLetters) Validate() error {
	if strings.TrimSpace(c.Reason) == "" {
		return errors.New("--reason: whoever misses the events will want to know why")
	}
	return nil
}

func (c *discardLetters) run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(v *view.View) error {
		n, err := v.Discard(ctx, c.Of.Which, c.Reason)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoLetter
		}
		fmt.Fprintf(out, "%s given up.\n", counted(int(n), "letter", "letters"))
		return nil
	})
}
