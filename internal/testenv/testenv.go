// Package testenv gives tests a real Postgres and a broker. Only tests import it.
//
// One server of each kind is started for a test binary when its first test asks, and is gone when the binary is, however
// it ends. A test gets a database or topic of its own on it, so all tests may run in parallel.
//
// Where Postgres comes from, the first that can be had:
//   - TEST_DATABASE_URL: a superuser's URL of a server with wal_level=logical
//   - a private cluster of downloaded or installed programs (package pgserver), of the major version PG_VERSION, else 18
//   - a container of postgres:PG_VERSION, where a Docker engine answers
//
// Where the broker comes from: kfake, franz-go's broker in this process, unless BROKER=kafka asks for Apache Kafka:
//   - KAFKA_BROKERS: the addresses of a cluster
//   - a container of apache/kafka, where a Docker engine answers
//   - the jars that make kafka has fetched, with the host's Java (package kafkaserver)
package testenv

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests, stops the shared servers and fails if a goroutine is left. For use as the body of TestMain.
func Main(m *testing.M) {
	code := m.Run()
	err := shared.close()
	if code == 0 {
		err = errors.Join(err, goleak.Find(leaksOfDocker()...))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Name returns an identifier that no other test has, made of [a-z0-9_] and at most 50 characters long: for slots,
// consumer groups, topics and transactional ids.
func Name(t testing.TB) string {
	t.Helper()
	const most = 37
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	random := make([]byte, 6)
	rand.Read(random)
	return clean[:min(len(clean), most)] + "_" + hex.EncodeToString(random)
}

// shared is what the tests of this binary share; Main closes it.
var shared closers

// closers runs functions in the reverse order of their registration.
type closers struct {
	mu  sync.Mutex
	fns []func(context.Context) error
}

func (c *closers) add(fn func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fns = append(c.fns, fn)
}

func (c *closers) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	for len(c.fns) > 0 {
		last := len(c.fns) - 1
		err = errors.Join(err, c.fns[last](ctx))
		c.fns = c.fns[:last]
	}
	return err
}

// scratchPrefix begins the name of every directory that scratch makes.
const scratchPrefix = "testenv-"

// scratch makes a directory for a server's data, which other users can enter: under root, Postgres runs as one. The
// directories of test binaries that were killed are swept away.
func scratch() (dir string, remove func() error, err error) {
	sweep()
	dir, err = os.MkdirTemp("", scratchPrefix)
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := tryLock(dir)
	if err != nil {
		return "", nil, err
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
}

func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), scratchPrefix+"*")) // the pattern is well-formed
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // perhaps made this moment, and not locked yet
		}
		if lock, err := tryLock(dir); err == nil {
			detach(dir)
			os.RemoveAll(dir) //nolint:errcheck // the next sweep tries again
			lock.Close()
		}
	}
}

// tryLock takes the lock of a scratch directory, which lasts as long as this process keeps the file open.
func tryLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
