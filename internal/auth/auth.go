// Package auth says who may ask a program over HTTP: bearer tokens with scopes, and TLS.
//
// It promises that behind a Guard with a token file nothing is answered without a token of that file but the two health checks; that a
// token which is taken out of the file opens nothing a second later, if the file can be used (else a warning says so, and what it had
// before holds), and that no stream that it opened outlives it by more than
// maxStream; and that no token is in a log, an error or a metric. Without a token file whoever reaches the listener may ask everything.
//
// It does not count attempts: a token of foodctl token is 256 random bits, and nobody guesses those. It does not know the programs'
// endpoints, but for those that do harm and that show who somebody is.
package auth

import (
	"errors"
	"fmt"
	"log/slog"
)

// Flags are the kong flags of a program that listens: who may ask it, and whether the connection is encrypted.
type Flags struct {
	TokenFile string `help:"File with the tokens that open this program's HTTP endpoints, all but the health checks: a line for each, NAME SCOPE SHA256, as foodctl token prints it. It is read again when it changes. Default: no token is asked for." env:"TOKEN_FILE" placeholder:"FILE" group:"Access over HTTP"`
	TLSCert   string `name:"tls-cert" help:"Certificate (PEM) to show, its chain behind it; switches TLS on. Read again when it changes." env:"TLS_CERT_FILE" placeholder:"FILE" group:"Access over HTTP"`
	TLSKey    string `name:"tls-key" help:"Its key (PEM)." env:"TLS_KEY_FILE" placeholder:"FILE" group:"Access over HTTP"`
}

// Guard reads the files, and returns an error that names the flag to change if they cannot be used.
func (f Flags) Guard(log *slog.Logger) (*Guard, error) {
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return nil, errors.New("--tls-cert and --tls-key go together")
	}
	g := &Guard{log: log}
	var err error
	if f.TokenFile != "" {
		if g.tokens, err = open(log, parseTokens, f.TokenFile); err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
	}
	if f.TLSCert != "" {
		if g.certificate, err = open(log, parsePair, f.TLSCert, f.TLSKey); err != nil {
			return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
	}
	return g, nil
}
