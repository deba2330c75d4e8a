package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pgbench is the program that comes with Postgres.
type pgbench struct{ path, version string }

// packaged is where Debian's packages put it. What is on PATH there is a script, which may find none.
const packaged = "/usr/lib/postgresql/*/bin/pgbench"

// findPgbench looks for one that runs, on PATH and among those of a pattern.
func findPgbench(ctx context.Context, pattern string) (pgbench, error) {
	found, _ := filepath.Glob(pattern) // it is well formed
	slices.Reverse(found)              // the newest first
	for _, path := range append([]string{"pgbench"}, found...) {
		if out, err := exec.CommandContext(ctx, path, "--version").Output(); err == nil {
			return pgbench{path, strings.TrimSpace(strings.TrimPrefix(string(out), "pgbench (PostgreSQL)"))}, nil
		}
	}
	return pgbench{}, errors.New("pgbench, which is the measure here, is neither on PATH nor in /usr/lib/postgresql: " +
		"install Postgres's programs (Debian: apt-get install postgresql; macOS: brew install postgresql)")
}

// perRun is more than the orders that a client can place in a run: each run counts from a number of its own.
const perRun = 1_000_000_000

// runPgbench lets pgbench place orders with so many clients.
func (t *ordersTrial) runPgbench(ctx context.Context, clients int) (sample, error) {
	t.runs++
	prefix := filepath.Join(t.dir, fmt.Sprintf("pgbench-%d", t.runs))
	u := *t.admin // without a login: arguments are seen by others
	u.Path, u.User = "/"+t.names.OrdersDB, nil
	query := u.Query()
	query.Del("user")
	query.Del("password")
	u.RawQuery = query.Encode()
	args := []string{
		"--no-vacuum", "--protocol=prepared", "--client=" + strconv.Itoa(clients), "--jobs=" + strconv.Itoa(min(clients, runtime.NumCPU())),
		"--time=" + strconv.Itoa(int((lead + t.cfg.For).Seconds())), "--file=" + t.script.path, "--log", "--log-prefix=" + prefix,
		"--define=n=" + strconv.Itoa(t.runs*perRun),
	}
	for _, v := range t.script.variables {
		args = append(args, "--define="+v)
	}
	cmd := exec.CommandContext(ctx, t.pgbench.path, append(args, u.String())...)
	cmd.Env = append(os.Environ(), "PGUSER="+t.login.Name, "PGPASSWORD="+t.login.Password)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	used := t.costs(false)
	if err := cmd.Run(); err != nil {
		return sample{}, errors.Join(ctx.Err(), fmt.Errorf("pgbench: %w: %.500s", err, stderr.String()))
	}
	cost := used()
	cost.Client = new((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	placed, err := readLogs(prefix)
	if err != nil {
		return sample{}, fmt.Errorf("pgbench's log: %w", err)
	}
	t.foreign += int64(len(placed))
	w := window(placed, t.cfg.For)
	w.used = cost
	return w, nil
}

// logged is a line of pgbench's log.
type logged struct {
	ended time.Duration // since 1970
	took  time.Duration
}

// readLogs reads what pgbench's threads have logged, and removes it.
func readLogs(prefix string) (all []logged, err error) {
	paths, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if all, err = readLog(path, all); err != nil {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readLog reads lines "client transaction microseconds script second microsecond".
func readLog(path string, all []logged) ([]logged, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var client, number, took, script, second, micro int64
		if _, err := fmt.Sscan(lines.Text(), &client, &number, &took, &script, &second, &micro); err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		at := time.Duration(second)*time.Second + time.Duration(micro)*time.Microsecond
		all = append(all, logged{at, time.Duration(took) * time.Microsecond})
	}
	return all, lines.Err()
}

// window is the transactions that ended behind the lead, as long as they count. A client's connections are made before its
// first transaction begins, which is when the time begins.
func window(all []logged, last time.Duration) sample {
	began := time.Duration(math.MaxInt64)
	for _, tx := range all {
		began = min(began, tx.ended-tx.took)
	}
	s := sample{over: last, all: int64(len(all))}
	for _, tx := range all {
		if at := tx.ended - began; at >= lead && at < lead+last {
			s.times = append(s.times, tx.took)
		}
	}
	return s
}
