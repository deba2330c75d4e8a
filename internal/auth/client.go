package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
)

// ClientFlags are the kong flags of a program that asks others over HTTP.
type ClientFlags struct {
	BearerTokenFile string `help:"File that holds the token to show to the programs, where they ask for one." env:"BEARER_TOKEN_FILE" placeholder:"FILE" group:"Asking the programs"`
	CAFile          string `name:"http-ca-file" help:"Certificates (PEM) that sign the programs' ones; they are then asked over TLS. For public ones, the system's bundle." env:"HTTP_CA_FILE" placeholder:"FILE" group:"Asking the programs"`
}

// URL is where to ask a program that listens at an address.
func (f ClientFlags) URL(address string) string {
	if f.CAFile != "" {
		return "https://" + address
	}
	return "http://" + address
}

// Client asks as the flags say. It follows no redirection, to whom the token would be shown, and uses no proxy. Its idle connections are
// the caller's to close.
func (f ClientFlags) Client(log *slog.Logger) (*http.Client, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 256} // foodctl load has as many requests under way
	if f.CAFile != "" {
		pem, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--http-ca-file: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--http-ca-file: there is no PEM certificate in %s", f.CAFile)
		}
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if f.BearerTokenFile != "" {
		token, err := open(log, parseText, f.BearerTokenFile)
		if err != nil {
			return nil, fmt.Errorf("--bearer-token-file: %w", err)
		}
		client.Transport = &bearing{transport, token}
	}
	return client, nil
}

// bearing shows a token.
type bearing struct {
	*http.Transport

	token *reread[string]
}

// RoundTrip implements http.RoundTripper.
func (b *bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", bearer+" "+b.token.now())
	return b.Transport.RoundTrip(r)
}

func parseText(contents [][]byte) (string, error) {
	text := strings.TrimRight(string(contents[0]), "\r\n")
	if text == "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", errors.New("want one line with a token")
	}
	return text, nil
}

// Refusal is why a program that is there does not answer a question.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// Refused is the error that an answer means which refuses a token, or the lack of one; nil for any other answer.
func Refused(answer *http.Response) error {
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return Refusal("it wants a token of its --token-file: give one by --bearer-token-file (BEARER_TOKEN_FILE)")
	case http.StatusForbidden:
		return Refusal("the token of --bearer-token-file does not allow it")
	}
	return nil
}
