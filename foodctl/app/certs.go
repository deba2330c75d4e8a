package app

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/certs"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

type certsCmd struct {
	Dir    string   `arg:"" help:"Where they are kept: DIR/servers/NAME, DIR/clients/NAME and DIR/peers/NAME." type:"path"`
	Server []string `help:"Servers, each by its host name. With UID, the user who alone may read its key." placeholder:"NAME[:UID],..."`
	Client []string `help:"Clients, each by the name that it goes by at the servers." placeholder:"NAME[:UID],..."`
	Peer   []string `help:"Who is both, each by its host name." placeholder:"NAME[:UID],..."`
}

// Help is what `foodctl certs --help` says beside the flags.
func (certsCmd) Help() string {
	return `Makes a private authority and certificates, for TLS on a machine of one's own: ca.crt, tls.crt, tls.key, and tls.pem with
both for Java. They are good for a year. Running it again does nothing while they have 30 days left, and then makes all of
them anew, by a new authority: no key of the old one is kept.`
}

// Run makes what is missing.
func (c certsCmd) Run(out io.Writer) error {
	var ids []certs.Identity
	for _, given := range []struct {
		names []string
		side  certs.Side
	}{{c.Server, certs.Server}, {c.Client, certs.Client}, {c.Peer, certs.Peer}} {
		for _, name := range given.names {
			id, err := certs.Parse(name, given.side)
			if err != nil {
				return &ops.ExitError{Code: 2, Err: err}
			}
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return &ops.ExitError{Code: 2, Err: errors.New("no certificate is asked for: give --server, --client or --peer")}
	}
	made, err := certs.Ensure(c.Dir, ids, time.Now())
	if err != nil {
		return err
	}
	verb := "are good"
	if made {
		verb = "made"
	}
	fmt.Fprintf(out, "%s: %d certificates: %s\n", c.Dir, len(ids), verb)
	return nil
}
