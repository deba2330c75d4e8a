package child_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
)

// parent, when set, makes this test binary the parent in TestChildDiesWithAKilledParent: it starts a child that sleeps,
// prints the child's process id and waits to be killed.
const parent = "CHILD_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parent) != "" {
		p, err := child.Start(exec.Command("sleep", "1000"), syscall.SIGKILL)
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(strconv.Itoa(p.PID()) + "\n") //nolint:errcheck // the test sees it
		<-p.Done()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestChildDiesWithAKilledParent(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parent+"=1")
	// The grandchild holds this pipe's other end as long as it lives.
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	line, err := reader.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Kill(pid, 0), cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it says: killed
	waitGone(t, pid)
}

// waitGone waits until the process has ended. Whoever inherits it may be slow to bury it, so a zombie counts as gone.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for deadline.Err() == nil {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("the child outlives its parent: %v", syscall.Kill(pid, syscall.SIGKILL))
}

func TestChildKeepsTheGroupSignalsOfItsParentAway(t *testing.T) {
	t.Parallel()
	p := start(t, exec.Command("sleep", "1000"))
	group, err := syscall.Getpgid(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	if group == syscall.Getpgrp() {
		t.Error("a Ctrl-C at the terminal would reach the child")
	}
}

func TestSignalAndKillOfAGoneProcessAreNoErrors(t *testing.T) {
	t.Parallel()
	p := start(t, exec.Command("true"))
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Kill()); err != nil {
		t.Error(err)
	}
}

func TestWaitTellsHowItEnded(t *testing.T) {
	t.Parallel()
	p := start(t, exec.Command("sh", "-c", "exit 3"))
	ended, ok := errors.AsType[*exec.ExitError](p.Wait())
	if !ok || ended.ExitCode() != 3 {
		t.Errorf("got %v, want exit code 3", p.Wait())
	}
}

func TestStartOfNoProgramIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := child.Start(exec.Command("/no/such/program"), syscall.SIGKILL); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
}

func start(t *testing.T, cmd *exec.Cmd) *child.Process {
	t.Helper()
	cmd.Stdout = io.Discard
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}
