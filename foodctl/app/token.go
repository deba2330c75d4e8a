package app

import (
	"fmt"
	"io"
	"os"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type tokenCmd struct {
	Name  string     `arg:"" help:"Whose it is: it stands in logs, and the events that it causes name it."`
	Scope auth.Scope `arg:"" help:"What it allows: read, command (and read), or admin (and both)."`
	File  string     `arg:"" help:"File to write the token to. It must not be there yet." type:"path"`
}

// Help is what `foodctl token --help` says beside the description.
func (tokenCmd) Help() string {
	return `Makes a token for the programs' HTTP endpoints, of 256 random bits. The token goes into FILE, which only its user can read; its line for
the programs' --token-file, from which nobody can get the token, is printed:

  foodctl token prometheus read prometheus.token >> tokens
  orderservice --token-file tokens ...
  curl -H @<(sed "s/^/Authorization: Bearer /" prometheus.token) http://127.0.0.1:7481/metrics

To withdraw it, take its line out again. docs/access.md says what takes which scope.`
}

// Run makes the token. Its line is printed when the token is on the disk, and not at all otherwise.
func (c tokenCmd) Run(out io.Writer) error {
	token, line, err := auth.NewToken(c.Name, c.Scope)
	if err != nil {
		return &ops.ExitError{Code: 2, Err: fmt.Errorf("NAME: %w", err)}
	}
	file, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("token not made: %w", err)
	}
	_, err = file.WriteString(token + "\n")
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("token not written: %w: remove the file", err)
	}
	_, err = fmt.Fprintln(out, line)
	return err
}
