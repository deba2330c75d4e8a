package app

import (
	"fmt"
	"io"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/explain"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type explainCmd struct {
	Words []string `arg:"" optional:"" help:"The number of an invariant, I1 to I12, or words that it is about." placeholder:"I4"`
}

// Help is what `foodctl explain --help` says beside the flags.
func (explainCmd) Help() string {
	return `Without a word it lists what the pipeline guarantees. With a number, or words that occur in one guarantee alone, it says all: how
it is kept, in which code, which tests fail if it is broken, and what to type to see it. The code and the tests that it names
exist in this version: a test looks them up.

  foodctl explain                     all of them
  foodctl explain I6                  why no two relays can publish the same log
  foodctl explain exactly once        what is about that`
}

// Run prints what was asked for.
func (c explainCmd) Run(out io.Writer) error {
	found := explain.Find(c.Words...)
	switch len(found) {
	case 0:
		return &ops.ExitError{Code: 1, Err: fmt.Errorf("no guarantee is about %q: foodctl explain lists them", strings.Join(c.Words, " "))}
	case 1:
		return found[0].Write(out)
	}
	if err := explain.Table(out, found); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\nfoodctl explain NUMBER says how each is kept, where, and which test fails if it is broken.")
	return err
}
