// Package kafka is how the programs that use Kafka reach it: encrypted or not, and as whom.
//
// It promises that certificates and password are read anew for each connection, so that they can be replaced while a
// program runs, and that neither is in an error. It does not know what is done with the connections.
package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Security is a group of kong flags. Its zero value is a plain connection without a login, for brokers on the loopback
// or in a network of their own.
type Security struct {
	CAFile       string `name:"kafka-ca-file" group:"Kafka's security" help:"Certificates (PEM) that sign the brokers' ones; switches TLS on. For public ones, the system's bundle." env:"KAFKA_CA_FILE" placeholder:"FILE"`
	CertFile     string `name:"kafka-cert-file" group:"Kafka's security" help:"Certificate (PEM) of this program, for brokers that ask for one." env:"KAFKA_CERT_FILE" placeholder:"FILE"`
	KeyFile      string `name:"kafka-key-file" group:"Kafka's security" help:"Its key (PEM)." env:"KAFKA_KEY_FILE" placeholder:"FILE"`
	User         string `name:"kafka-user" group:"Kafka's security" help:"Login of this program by SCRAM-SHA-512 (KIP-84)." env:"KAFKA_USER" placeholder:"NAME"`
	PasswordFile string `name:"kafka-password-file" group:"Kafka's security" help:"File that holds its password." env:"KAFKA_PASSWORD_FILE" placeholder:"FILE"`
}

// Check returns an error that names the flag to change if what is given does not go together, or if a file cannot be
// read or does not hold what it must.
func (s Security) Check() error {
	switch {
	case (s.CertFile == "") != (s.KeyFile == ""):
		return errors.New("--kafka-cert-file and --kafka-key-file go together")
	case s.CertFile != "" && s.CAFile == "":
		return errors.New("--kafka-cert-file needs --kafka-ca-file, which switches TLS on")
	case (s.User == "") != (s.PasswordFile == ""):
		return errors.New("--kafka-user and --kafka-password-file go together")
	}
	if s.CAFile != "" {
		if _, err := s.config(); err != nil {
			return err
		}
	}
	if s.User != "" {
		if _, err := s.auth(); err != nil {
			return err
		}
	}
	return nil
}

// Options make a client's connections as secure as the flags say.
func (s Security) Options() []kgo.Opt {
	var opts []kgo.Opt
	if s.CAFile != "" {
		opts = append(opts, kgo.Dialer(s.dial))
	}
	if s.User != "" {
		opts = append(opts, kgo.SASL(scram.Sha512(func(context.Context) (scram.Auth, error) { return s.auth() })))
	}
	return opts
}

// dialTimeout is what kgo's own dialer takes.
const dialTimeout = 10 * time.Second

func (s Security) dial(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: config}
	return dialer.DialContext(ctx, network, address)
}

func (s Security) config() (*tls.Config, error) {
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("--kafka-ca-file: %w", err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--kafka-ca-file: there is no PEM certificate in %s", s.CAFile)
	}
	if s.CertFile == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("--kafka-cert-file and --kafka-key-file: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

func (s Security) auth() (scram.Auth, error) {
	password, err := ops.Secret(s.PasswordFile)
	if err != nil {
		return scram.Auth{}, fmt.Errorf("--kafka-password-file: %w", err)
	}
	return scram.Auth{User: s.User, Pass: password}, nil
}
