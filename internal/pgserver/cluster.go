package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// cluster is a data directory that is ready to be started.
type cluster struct {
	Config
	user *account // who runs the server; nil for this process's own user
}

// errAgain: what failed was only in the way for the moment, an old server's last backends or a port that was just taken.
var errAgain = errors.New("in the way")

// open finds programs and user for the directory, and makes the cluster if there is none.
func open(ctx context.Context, c Config) (*cluster, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	c.Dir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	held, err := readVersion(dir)
	if err != nil {
		return nil, err
	}
	if held != "" && c.Version != "" && held != c.Version {
		return nil, fmt.Errorf("%s holds the data of PostgreSQL %s, and PostgreSQL %s was asked for: ask for %s, or move the directory away to begin anew",
			dir, held, c.Version, held)
	}
	fallback := held == "" && c.Version == ""
	if c.Version == "" {
		c.Version = held
	}
	if c.Version == "" {
		c.Version = DefaultVersion
	}
	if c.Binaries == "" {
		if c.Binaries, err = binaries(ctx, c.Version, fallback, c.Progress); err != nil {
			return nil, err
		}
	}
	cl := &cluster{Config: c}
	if cl.user, err = unprivileged(dataDir(dir)); err != nil {
		return nil, err
	}
	if err := errors.Join(cl.user.reaches(dir), cl.user.reaches(c.Binaries)); err != nil {
		return nil, err
	}
	if err := cl.loadPassword(); err != nil {
		return nil, err
	}
	if held == "" {
		c.Progress("making a Postgres cluster in " + dir)
		if err := cl.initdb(ctx); err != nil {
			return nil, fmt.Errorf("make a Postgres cluster in %s: %w", dir, err)
		}
	}
	return cl, nil
}

// loadPassword takes the password from its file, and makes both if there is none.
func (c *cluster) loadPassword() error {
	if c.Password != "" {
		return nil
	}
	b, err := os.ReadFile(passwordFile(c.Dir))
	if errors.Is(err, os.ErrNotExist) {
		c.Password = rand.Text()
		return os.WriteFile(passwordFile(c.Dir), []byte(c.Password+"\n"), 0o600)
	}
	c.Password = string(bytes.TrimSpace(b))
	return err
}

// initdb makes the cluster beside its place and then moves it there, so that an interrupted run leaves nothing that looks
// like a cluster.
func (c *cluster) initdb(ctx context.Context) error {
	scratch := filepath.Join(c.Dir, "initdb")
	if err := os.RemoveAll(scratch); err != nil {
		return err
	}
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // the next run removes it first
	secret := filepath.Join(scratch, "password")
	if err := os.WriteFile(secret, []byte(c.Password+"\n"), 0o600); err != nil {
		return err
	}
	if err := c.user.own(scratch, secret); err != nil {
		return err
	}
	data := filepath.Join(scratch, "data")
	cmd := exec.CommandContext(ctx, filepath.Join(c.Binaries, "initdb"), "--pgdata="+data, "--username="+Superuser,
		"--auth=scram-sha-256", "--pwfile="+secret, "--encoding=UTF8", "--locale=C", "--no-instructions")
	if c.Settings["fsync"] == "off" {
		cmd.Args = append(cmd.Args, "--no-sync")
	}
	cmd.Env = environment()
	cmd.Dir = "/"
	c.user.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, tail(out))
	}
	return os.Rename(data, dataDir(c.Dir))
}

// start makes one attempt.
func (c *cluster) start(ctx context.Context) (*Server, error) {
	if pid := c.running(); pid != 0 {
		return nil, fmt.Errorf("%w: another server, process %d, has the directory: stop that one, or choose another directory", errAgain, pid)
	}
	port := c.Port
	if port == 0 {
		var err error
		if port, err = ports.Free(); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(logFile(c.Dir), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	from, err := log.Seek(0, 2)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(c.Binaries, "postgres"), c.arguments(port)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = environment()
	cmd.Dir = "/"
	c.user.apply(cmd)
	// SIGQUIT is Postgres's immediate shutdown. On SIGKILL its backends would live on for a moment, and shared memory stay.
	process, err := child.Start(cmd, syscall.SIGQUIT)
	if err != nil {
		return nil, err
	}
	s := &Server{process: process, port: port, password: c.Password}
	err = s.ready(ctx, dataDir(c.Dir))
	if err == nil {
		return s, nil
	}
	if errors.Is(err, errEnded) {
		return nil, c.why(from)
	}
	if stop := process.Signal(syscall.SIGQUIT); stop != nil {
		return nil, errors.Join(err, stop)
	}
	<-process.Done()
	return nil, err
}

func (c *cluster) arguments(port int) []string {
	args := []string{
		"-D", dataDir(c.Dir), "-c", "port=" + strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "logging_collector=off",
	}
	for name, value := range c.Settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// running returns the process id of a server that holds the data directory, or 0.
func (c *cluster) running() int {
	b, err := os.ReadFile(filepath.Join(dataDir(c.Dir), "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 0 || syscall.Kill(pid, 0) == syscall.ESRCH || !isPostgres(pid) {
		return 0
	}
	return pid
}

// isPostgres guards against a process id that was given to another program since. Without /proc it believes.
func isPostgres(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err != nil || strings.HasPrefix(string(b), "postgres")
}

// why reads in the log, from where this attempt began, what stopped the server.
func (c *cluster) why(from int64) error {
	b, err := os.ReadFile(logFile(c.Dir))
	if err != nil {
		return err
	}
	b = b[min(from, int64(len(b))):]
	inUse := bytes.Contains(b, []byte("Address already in use"))
	switch {
	case bytes.Contains(b, []byte("pre-existing shared memory block")), inUse && c.Port == 0:
		return fmt.Errorf("%w: %s", errAgain, tail(b))
	case inUse:
		return fmt.Errorf("port %d is taken: stop what listens there, or choose another port", c.Port)
	}
	return fmt.Errorf("%w; the end of %s:\n%s", errEnded, logFile(c.Dir), tail(b))
}

func tail(b []byte) []byte {
	const most = 2000
	return bytes.TrimSpace(b[max(0, len(b)-most):])
}

// environment is all that the server gets of ours: the PG* variables of whoever runs this must not configure it.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
