package pgserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
)

// parentOf, when set, makes this test binary start a server in that directory, print its URL and wait to be killed.
const parentOf = "PGSERVER_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentOf); dir != "" {
		s, err := pgserver.Start(context.Background(), config(dir))
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stdout, s.URL(pgserver.Superuser, "postgres"))
		<-s.Done()
		return
	}
	goleak.VerifyTestMain(m)
}

func config(dir string) pgserver.Config {
	return pgserver.Config{Dir: dir, Version: os.Getenv("PG_VERSION"), Settings: map[string]string{"fsync": "off"}}
}

func TestDataLivesOverEveryWayToEnd(t *testing.T) {
	t.Parallel()
	c := config(dir(t))
	s := start(t, c)
	execute(t, s, "CREATE TABLE kept (n int)")
	endings := []func(*pgserver.Server) error{
		func(s *pgserver.Server) error { return s.Stop(t.Context(), pgserver.Smart) },
		func(s *pgserver.Server) error { return s.Stop(t.Context(), pgserver.Fast) },
		func(s *pgserver.Server) error { return s.Stop(t.Context(), pgserver.Immediate) },
		(*pgserver.Server).Kill,
	}
	for n, end := range endings {
		execute(t, s, "INSERT INTO kept VALUES ($1)", n)
		if err := end(s); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Done():
		default:
			t.Fatalf("ending %d returned before the server was gone", n)
		}
		s = start(t, c)
		if got := query[int](t, s, "SELECT count(*)::int FROM kept"); got != n+1 {
			t.Errorf("after ending %d: %d rows, want %d", n, got, n+1)
		}
	}
}

func TestServerDiesWithAKilledParentAndItsDataStartAgain(t *testing.T) {
	t.Parallel()
	d := dir(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentOf+"="+d)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), strings.TrimSpace(url))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the server is gone
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it says: killed
	if _, err := conn.Exec(t.Context(), "SELECT pg_sleep(60)"); err == nil {
		t.Error("the server outlives its parent")
	}
	start(t, config(d)) // while the old one may still be ending
}

func TestOnlyThePasswordLetsIn(t *testing.T) {
	t.Parallel()
	d := dir(t)
	s := start(t, config(d))
	file := filepath.Join(d, "password")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	password := strings.TrimSpace(string(b))
	for _, wrong := range []string{"", "postgres", password + "x"} {
		c, err := pgx.ParseConfig(s.URL(pgserver.Superuser, "postgres"))
		if err != nil {
			t.Fatal(err)
		}
		c.Password = wrong
		conn, err := pgx.ConnectConfig(t.Context(), c)
		if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "28P01" {
			t.Errorf("password %q: got %v, want SQLSTATE 28P01", wrong, err)
		}
		if err == nil {
			conn.Close(t.Context()) //nolint:errcheck // the failure is said already
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file has the mode %v, %v; want 0600", info.Mode(), err)
	}
	for _, public := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.PID(), public))
		if err == nil && strings.Contains(string(b), password) {
			t.Errorf("the password is in the server's %s", public)
		}
	}
	if url := s.URL("someone", "postgres"); strings.Contains(url, password) {
		t.Error("the superuser's password is in another user's URL")
	}
}

func TestServerDoesNotRunAsRoot(t *testing.T) {
	t.Parallel()
	s := start(t, config(dir(t)))
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Skip("this system has no /proc")
	}
	if strings.Contains(string(info), "\nUid:\t0\t") {
		t.Error("the server runs as root")
	}
}

func TestStartSaysWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		setup func(*testing.T) pgserver.Config
		want  []string
	}{
		{"data of another major version", func(t *testing.T) pgserver.Config {
			t.Helper()
			c := config(dir(t))
			c.Version = "18"
			write(t, filepath.Join(c.Dir, "data", "PG_VERSION"), "16\n")
			return c
		}, []string{"holds the data of PostgreSQL 16", "PostgreSQL 18 was asked for", "ask for 16, or move the directory away"}},
		{"a version that nobody supports", func(t *testing.T) pgserver.Config {
			t.Helper()
			c := config(dir(t))
			c.Version = "9"
			return c
		}, []string{`PostgreSQL "9": choose 15, 16, 17 or 18`}},
		{"a taken port", func(t *testing.T) pgserver.Config {
			t.Helper()
			c := config(dir(t))
			c.Port = start(t, config(dir(t))).Port()
			return c
		}, []string{"port ", " is taken: stop what listens there, or choose another port"}},
		{"a directory in use", func(t *testing.T) pgserver.Config {
			t.Helper()
			c := config(dir(t))
			start(t, c)
			return c
		}, []string{"another server, process ", "has the directory"}},
		{"a setting that is none", func(t *testing.T) pgserver.Config {
			t.Helper()
			c := config(dir(t))
			c.Settings["no_such_setting"] = "1"
			return c
		}, []string{"no_such_setting", "postgres.log"}},
		{"a password that is not the cluster's", func(t *testing.T) pgserver.Config {
			t.Helper()
			c := config(dir(t))
			if err := start(t, c).Stop(t.Context(), pgserver.Immediate); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(c.Dir, "password"), "another")
			return c
		}, []string{"the password is not the cluster's", "bring back the file password"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := pgserver.Start(t.Context(), c.setup(t))
			if err == nil {
				t.Fatalf("it started: %v", s.Kill())
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %q in it", err, want)
				}
			}
		})
	}
}

func TestRootIsToldOfADirectoryThatPostgresCannotEnter(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives the server away to another user (run the tests as root, e.g. in a container)")
	}
	d := filepath.Join(t.TempDir(), "state") // t.TempDir is for its owner alone
	_, err := pgserver.Start(t.Context(), config(d))
	if err == nil || !strings.Contains(err.Error(), "cannot enter") || !strings.Contains(err.Error(), "choose a directory") {
		t.Errorf("got %v, want what to do", err)
	}
}

func TestStopRefusesAnUnknownMode(t *testing.T) {
	t.Parallel()
	s := start(t, config(dir(t)))
	if err := s.Stop(t.Context(), "gently"); err == nil || !strings.Contains(err.Error(), "smart, fast or immediate") {
		t.Errorf("got %v, want the modes", err)
	}
}

func start(t *testing.T, c pgserver.Config) *pgserver.Server {
	t.Helper()
	s, err := pgserver.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx, pgserver.Immediate); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dir is a directory that the unprivileged user can enter, which t.TempDir is not.
func dir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "pgserver-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(d); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func execute(t *testing.T, s *pgserver.Server, statement string, args ...any) {
	t.Helper()
	conn := connect(t, s)
	defer conn.Close(t.Context()) //nolint:errcheck // the statement's own error counts
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func query[T any](t *testing.T, s *pgserver.Server, statement string) (value T) {
	t.Helper()
	conn := connect(t, s)
	defer conn.Close(t.Context()) //nolint:errcheck // read only
	if err := conn.QueryRow(t.Context(), statement).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func connect(t *testing.T, s *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL(pgserver.Superuser, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
