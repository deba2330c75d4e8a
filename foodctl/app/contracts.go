package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/contract"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/programs"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type contractsCmd struct {
	Write string `help:"Write what differs, unless an event would change." type:"path" placeholder:"DIR" xor:"do"`
	Check string `help:"Directory to check. Default: docs/contracts of the repository." type:"path" placeholder:"DIR" xor:"do"`
}

// Help is what `foodctl contracts --help` says beside the flags.
func (contractsCmd) Help() string {
	return `The contracts are a JSON Schema of each version of each type of event, and the topic as AsyncAPI. They are made out of the
structs in internal/event, so this runs in the repository. It says which files are not what the code says, and exits with 1 if
there are any.

An event never changes, since what was written is read for ever. So --write writes nothing if a schema that is there would accept
other payloads: add a new version of the event, as internal/event/upcast.go says.`
}

// Run compares the contracts, or writes them.
func (c *contractsCmd) Run(ctx context.Context, out io.Writer) error {
	source, err := programs.Source(ctx)
	if err != nil {
		return err
	}
	files, err := contract.Make(source)
	if err != nil {
		return err
	}
	if c.Write != "" {
		differ, err := files.Write(c.Write)
		if errors.Is(err, contract.ErrBreaks) {
			list(out, differ)
			return &ops.ExitError{Code: 1, Err: err}
		}
		if err == nil {
			fmt.Fprintf(out, "%s: %d of %d files written\n", c.Write, len(differ), len(files))
		}
		return err
	}
	dir := cmp.Or(c.Check, filepath.Join(source, "docs", "contracts"))
	differ, err := files.Compare(dir)
	if err != nil {
		return err
	}
	if len(differ) > 0 {
		list(out, differ)
		return &ops.ExitError{Code: 1, Err: fmt.Errorf("%d files are not what the code says: foodctl contracts --write %s, "+
			"unless an event would change", len(differ), dir)}
	}
	fmt.Fprintf(out, "%s: %d files, as the code says\n", dir, len(files))
	return nil
}

func list(out io.Writer, differ []contract.Difference) {
	for _, d := range differ {
		fmt.Fprintln(out, d)
	}
}
