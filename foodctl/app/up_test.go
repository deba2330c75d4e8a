package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

func TestUpRunsOrdersAndHolds(t *testing.T) {
	t.Parallel()
	_, flags, _ := place(t)
	p := foodctl(t, append(flags, "--orders=50", "--rate=100")...)
	if got := p.verdict(); got != audit.Holds {
		t.Errorf("verdict %s, want %s", got, audit.Holds)
	}
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}

	// Again on what is there: the dev broker has forgotten it.
	p = foodctl(t, append(flags, "--orders=10", "--rate=100")...)
	p.until("the topic filled anew", func(l line) bool { return l.Applied > 50 })
	if got := p.verdict(); got != audit.Holds {
		t.Errorf("second verdict %s, want %s", got, audit.Holds)
	}
	if code := p.exit(); code != 0 {
		t.Fatalf("second exit code %d: %s", code, p.stderr.String())
	}

	p = foodctl(t, append(flags, "--orders=1", "--rate=100", "--reset")...)
	report := p.until("the audit", func(l line) bool { return l.Verdict != "" })
	if rows := report.Orders.(map[string]any)["rows"]; rows != 1.0 {
		t.Errorf("%v orders after --reset, want 1", rows)
	}
	if code := p.exit(); code != 0 {
		t.Fatalf("third exit code %d: %s", code, p.stderr.String())
	}
}

func TestNothingSurvivesAKilledUpAndTheNextOneGoesOn(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux kills the children of a killed process")
	}
	dir, flags, ports := place(t)
	p := foodctl(t, flags...)
	p.flowing()

	second := foodctl(t, flags...)
	if code := second.exit(); code != 1 || !strings.Contains(second.stderr.String(), fmt.Sprintf("pid %d:", p.Process.Pid)) {
		t.Errorf("a second up: exit code %d, %q: want a refusal with pid %d", code, second.stderr.String(), p.Process.Pid)
	}
	i := slices.Index(flags, "--data-dir") + 1
	elsewhere := slices.Replace(slices.Clone(flags), i, i+1, dir+"-2")
	other := foodctl(t, elsewhere...)
	if code := other.exit(); code != 1 {
		t.Errorf("up on taken ports: exit code %d, want 1", code)
	}
	for _, want := range []string{fmt.Sprintf("port %d", ports.Broker), "--broker-port", "--postgres-port"} {
		if !strings.Contains(other.stderr.String(), want) {
			t.Errorf("up on taken ports: %q: want %q in it", other.stderr.String(), want)
		}
	}

	pids := children(t, p.Process.Pid)
	if len(pids) < 5 {
		t.Fatalf("%d processes: want orderservice, relay, two projectors and Postgres's", len(pids))
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, pids)

	next := foodctl(t, append(flags, "--orders=20", "--rate=100")...)
	if got := next.verdict(); got != audit.Holds {
		t.Errorf("verdict after the kill %s, want %s", got, audit.Holds)
	}
	if code := next.exit(); code != 0 {
		t.Errorf("exit code %d: %s", code, next.stderr.String())
	}
}

func TestInterruptLetsEverythingArriveAndStopsAll(t *testing.T) {
	t.Parallel()
	_, flags, _ := place(t)
	p := foodctl(t, append(flags, "--rate=100")...)
	p.flowing()
	pids := children(t, p.Process.Pid)
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.until("the notice", func(l line) bool { return strings.HasPrefix(l.Notice, "stopping") })
	last := p.until("the last status", func(l line) bool { return l.Written > 0 })
	for l := range p.lines {
		if l.Written > 0 {
			last = l
		}
	}
	if last.Applied != last.Written {
		t.Errorf("%d of %d events had arrived at the end", last.Applied, last.Written)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	gone(t, pids)
}

// Before anything is started, and by the name of the flag.
func TestUpRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args, want string
		code       int
	}{
		{"up --console-port 99999999", "--console-port 99999999", 1},
		{"up --broker-port 0", "--broker-port 0", 1},
		{"up --rate=-5", "--rate -5", 1},
		{"up --relays 3", "--relays 3", 1},
		{"up --no-such-flag", "see foodctl up --help", 2},
		{"bench relay --nothing", "see foodctl bench relay --help", 2},
		{"nothing", "see foodctl --help", 2},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		args := strings.Fields(tt.args)
		if args[0] == "up" {
			args = append(args, "--data-dir", dir)
		}
		err := run(t.Context(), args, io.Discard, io.Discard)
		var text strings.Builder
		if code := ops.Exit(err, &text); code != tt.code || !strings.Contains(text.String(), tt.want) {
			t.Errorf("%s: exit code %d, %q: want %d and %q", tt.args, code, text.String(), tt.code, tt.want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the data directory is there: %v", tt.args, err)
		}
	}
}
