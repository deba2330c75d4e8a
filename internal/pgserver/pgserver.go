// Package pgserver runs a private Postgres server: it finds or downloads the programs, makes the cluster, starts it on
// the loopback interface and stops it. foodctl uses it where no Docker is, and the tests do.
//
// It promises that the server does not outlive this process (on Linux, however this process ends), that a data directory
// left by a crash starts again, that nothing but a password lets anyone in, and that the server runs under an
// unprivileged user when this process is root, as Postgres demands. It promises no tuning: Config.Settings is the caller's.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
)

// Superuser is the role that owns the cluster.
const Superuser = "postgres"

// DefaultVersion is the major version that is downloaded when none is asked for.
const DefaultVersion = "18"

// Config says which server to run. Only Dir is required.
type Config struct {
	// Dir holds the cluster (data), its password and its log. It is made if missing; its contents survive Stop and Kill.
	// When this process is root, Dir must be reachable for the unprivileged user that the server runs under.
	Dir string

	// Port on 127.0.0.1; 0 picks a free one.
	Port int

	// Version is the major version, "15" to "18". Empty means the one that Dir holds already, else DefaultVersion, else
	// the newest that the host has.
	Version string

	// Binaries is the directory of initdb and postgres. Empty means: downloaded ones, else the host's.
	Binaries string

	// Password of the superuser. Empty means the one in the file Dir/password, made at random at the first start.
	Password string

	// Settings of the server beside those that this package sets (its address and log).
	Settings map[string]string

	// Progress is told what takes a while, one sentence a call. nil tells nobody.
	Progress func(string)
}

// Server is a running or stopped server.
type Server struct {
	process  *child.Process
	port     int
	password string
}

const (
	startTimeout = 60 * time.Second // until it is ready, which after a crash includes replaying the log
	againTimeout = 10 * time.Second // for what is in the way to go away
)

// Start makes the cluster if there is none, starts the server and waits until it answers. ctx bounds the start only.
func Start(ctx context.Context, c Config) (*Server, error) {
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	cl, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	inTheWay := time.After(againTimeout)
	for {
		s, err := cl.start(ctx)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errAgain) {
			return nil, fmt.Errorf("start Postgres in %s: %w", c.Dir, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-inTheWay:
			return nil, fmt.Errorf("start Postgres in %s: %w", c.Dir, err)
		case <-ctx.Done():
			return nil, fmt.Errorf("start Postgres in %s: %w", c.Dir, errors.Join(err, ctx.Err()))
		}
	}
}

// Port is the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// PID is the process id of the postmaster.
func (s *Server) PID() int { return s.process.PID() }

// URL is the address of a database for a user. It holds the password if the user is Superuser, so it belongs in no log.
func (s *Server) URL(user, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	if user == Superuser {
		u.User = url.UserPassword(user, s.password)
	}
	return u.String()
}

// Mode is a way to stop the server, as pg_ctl names it.
type Mode string

// The ways to stop the server.
const (
	Smart     Mode = "smart"     // waits until every client has gone
	Fast      Mode = "fast"      // ends the clients' sessions, and waits for replication clients to catch up
	Immediate Mode = "immediate" // no checkpoint: the next start recovers as after a crash
)

var signals = map[Mode]syscall.Signal{Smart: syscall.SIGTERM, Fast: syscall.SIGINT, Immediate: syscall.SIGQUIT}

// Stop stops the server and waits until it is gone or ctx ends. A stopped server is no error.
func (s *Server) Stop(ctx context.Context, m Mode) error {
	signal, known := signals[m]
	if !known {
		return fmt.Errorf("stop Postgres: mode %q is not smart, fast or immediate", m)
	}
	if err := s.process.Signal(signal); err != nil {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	select {
	case <-s.process.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop Postgres (%s): %w", m, ctx.Err())
	}
}

// Kill ends the postmaster with SIGKILL and waits until it is gone. Its backends notice within a moment; Start waits for
// them.
func (s *Server) Kill() error { return s.process.Kill() }

// Done is closed when the server is gone.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Wait waits until the server is gone and returns how it ended: nil after Stop.
func (s *Server) Wait() error { return s.process.Wait() }

// ready waits until the server says in its pid file that it is, and lets the superuser in. The port alone would prove
// nothing: another server may hold it.
func (s *Server) ready(ctx context.Context, data string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !s.saysReady(data) {
		select {
		case <-s.Done():
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
	err := s.ping(ctx)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "28P01" {
		return fmt.Errorf("the password is not the cluster's (%w): bring back the file password, or delete the directory", err)
	}
	return err
}

// saysReady reads postmaster.pid: the process id in its first line, the state in its eighth.
func (s *Server) saysReady(data string) bool {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	lines := strings.Split(string(b), "\n")
	return err == nil && len(lines) >= 8 && lines[0] == strconv.Itoa(s.PID()) && strings.TrimSpace(lines[7]) == "ready"
}

// errEnded: the server ended before it was ready; its log says why.
var errEnded = errors.New("the server ended")

func (s *Server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL(Superuser, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the answer has come
	return conn.Ping(ctx)
}

// paths below Config.Dir.
func dataDir(dir string) string      { return filepath.Join(dir, "data") }
func passwordFile(dir string) string { return filepath.Join(dir, "password") }
func logFile(dir string) string      { return filepath.Join(dir, "postgres.log") }

// readVersion returns the major version of the cluster in dir, or "" if there is none.
func readVersion(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dataDir(dir), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(b)), nil
}
