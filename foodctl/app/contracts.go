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
		return write(out, files, c.Write)
	}
	dir := cmp.Or(c.Check, filepath.Join(source, "docs", "contracts"))
	differ, err := files.Compare(dir)
	if err != nil {
		return err
	}
	list(out, differ)
	switch err := contract.Breaks(differ); {
	case err != nil:
		return &ops.ExitError{Code: 1, Err: err}
	case len(differ) > 0:
		return &ops.ExitError{Code: 1, Err: fmt.Errorf("%d files are to be written: foodctl contracts --write %s", len(differ), dir)}
	}
	fmt.Fprintf(out, "%s: %d files, as the code says\n", dir, len(files))
	return nil
}

func write(out io.Writer, files contract.Files, dir string) error {
	differ, err := files.Write(dir)
	if errors.Is(err, contract.ErrBreaks) {
		list(out, differ)
		return &ops.ExitError{Code: 1, Err: fmt.Errorf("nothing was written: %w", err)}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d of %d files written\n", dir, len(differ), len(files))
	return nil
}

func list(out io.Writer, differ []contract.Difference) {
	for _, d := range differ {
		fmt.Fprintln(out, d)
	}
}
