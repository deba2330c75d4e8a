package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// limit bounds every wait of these tests.
const limit = 2 * time.Minute

// process is a running foodctl that writes JSON.
type process struct {
	*exec.Cmd

	t      *testing.T
	lines  chan line
	ended  chan struct{} // closed when the process is gone
	err    error         // how it ended; read after ended
	stderr bytes.Buffer  // read after ended
}

// line is any of the objects that foodctl writes.
type line struct {
	Notice  string        `json:"notice"`
	Written int64         `json:"written"`
	Applied int64         `json:"applied"`
	Verdict audit.Verdict `json:"verdict"`
	Orders  any           `json:"orders"`
	Kills   any           `json:"kills"`
	Page    string        `json:"page"`

	Pauses    int          `json:"pauses"`
	Takeovers int          `json:"takeovers"`
	Cuts      int          `json:"cuts"`
	Stood     int          `json:"stood_still"`
	Pending   int64        `json:"most_pending"`
	Counts    audit.Counts `json:"counts"`
}

// foodctl starts the built program, with the others beside it.
func foodctl(t *testing.T, args ...string) *process {
	t.Helper()
	for _, name := range []string{"orderservice", "relay", "projector"} {
		testenv.Build(t, name)
	}
	p := &process{Cmd: exec.Command(testenv.Build(t, "foodctl"), args...), t: t, lines: make(chan line, 1000), ended: make(chan struct{})}
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		defer func() { p.err = p.Wait() }()
		defer close(p.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			var l line
			_ = json.Unmarshal(scanner.Bytes(), &l) // what is no object is no line that a test waits for
			select {
			case p.lines <- l:
			default: // nobody has been reading for long
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended
		<-p.ended
	})
	return p
}

// until waits for a line.
func (p *process) until(what string, is func(line) bool) line {
	p.t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case l, more := <-p.lines:
			if !more {
				<-p.ended
				p.t.Fatalf("foodctl ended before %s: %s", what, p.stderr.String())
			}
			if is(l) {
				return l
			}
		case <-timeout:
			p.t.Fatalf("no %s within %s", what, limit)
		}
	}
}

func (p *process) flowing() {
	p.t.Helper()
	p.until("an event in the read model", func(l line) bool { return l.Applied > 0 })
}

func (p *process) verdict() audit.Verdict {
	p.t.Helper()
	return p.until("the audit", func(l line) bool { return l.Verdict != "" }).Verdict
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	timeout := time.AfterFunc(limit, func() { _ = p.Process.Kill() })
	defer timeout.Stop()
	<-p.ended
	if exit, is := errors.AsType[*exec.ExitError](p.err); is {
		return exit.ExitCode()
	}
	if p.err != nil {
		p.t.Fatal(p.err)
	}
	return 0
}

// children are the processes that a process has started and theirs, by id.
func children(t *testing.T, parent int) []int {
	t.Helper()
	var found []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = append(append(found, pid), children(t, pid)...)
		}
	}
	return found
}

// gone waits until none of the processes is left.
func gone(t *testing.T, pids []int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(limit)
	for _, pid := range pids {
		for alive(pid) {
			select {
			case <-tick.C:
			case <-timeout:
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
}

// alive says whether a process runs. One that has ended and waits for its parent to notice does not.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}

// place is a data directory and ports for one system. Unlike t.TempDir it can be entered by the user that Postgres runs
// under when the tests run as root.
func place(t *testing.T) (dir string, flags []string, ports stack.Ports) {
	t.Helper()
	dir, err := os.MkdirTemp("", "foodctl-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // see above
		t.Fatal(err)
	}
	if ports, err = stack.FreePorts(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "data")
	return dir, []string{
		"up", "--json", "--data-dir", dir,
		fmt.Sprintf("--orderservice-port=%d", ports.OrderService), fmt.Sprintf("--relay-port=%d", ports.Relay),
		fmt.Sprintf("--projector-port=%d", ports.Projector), fmt.Sprintf("--postgres-port=%d", ports.Postgres),
		fmt.Sprintf("--broker-port=%d", ports.Broker), fmt.Sprintf("--query-port=%d", ports.Query),
		fmt.Sprintf("--console-port=%d", ports.Console),
	}, ports
}
