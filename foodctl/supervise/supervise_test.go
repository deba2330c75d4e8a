package supervise_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a shell script that is kept running until the test ends.
type program struct {
	*supervise.Program

	events chan supervise.Event
	result chan error
	stop   context.CancelFunc
	asked  atomic.Int32 // times that its environment was asked for
}

func start(t *testing.T, script string, grace time.Duration) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &program{events: make(chan supervise.Event, 100), result: make(chan error, 1), stop: cancel}
	spec := supervise.Spec{
		Name: "script", Path: "/bin/sh", Args: []string{"-c", script},
		Env: func() []string { p.asked.Add(1); return os.Environ() },
		Log: filepath.Join(t.TempDir(), "log"), Grace: grace, Final: []int{3},
	}
	p.Program = supervise.New(spec, func(e supervise.Event) { p.events <- e })
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.result <- p.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return p
}

func (p *program) next(t *testing.T) supervise.Event {
	t.Helper()
	select {
	case e := <-p.events:
		return e
	case err := <-p.result:
		t.Fatalf("the program was given up: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("nothing happened for 20 s")
	}
	return supervise.Event{}
}

func (p *program) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.result:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Run did not return within 20 s")
	}
	return nil
}

const waits = "while :; do sleep 1; done"

func TestAKilledProgramIsBackAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, waits, 0)
	first := p.next(t)
	if !first.Up || first.Again {
		t.Fatalf("first event %+v: want a first start", first)
	}
	for range 8 { // more often than a program may fail by itself
		pid, err := p.Signal(syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		if died := p.next(t); died.Up || died.Pid != pid || !strings.Contains(died.Reason, "killed") || died.Backoff != 0 {
			t.Fatalf("event %+v: want the end of %d by a kill, and no pause", died, pid)
		}
		if back := p.next(t); !back.Up || !back.Again || back.Pid == pid {
			t.Fatalf("event %+v: want another start", back)
		}
	}
	if got := p.Usage().Starts; got != 9 {
		t.Errorf("%d starts, want 9", got)
	}
}

func TestAProgramThatNeverComesUpIsGivenUpWithItsLastWords(t *testing.T) {
	t.Parallel()
	err := start(t, "echo the cupboard is bare >&2; exit 1", 0).end(t)
	if err == nil || !strings.Contains(err.Error(), "the cupboard is bare") {
		t.Errorf("error %v: want one that quotes the program", err)
	}
}

func TestARefusalIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	p := start(t, "echo another history; exit 3", 0)
	if err := p.end(t); err == nil || !strings.Contains(err.Error(), "another history") {
		t.Errorf("error %v: want one that quotes the program", err)
	}
	if got := p.Usage().Starts; got != 1 {
		t.Errorf("%d starts, want 1", got)
	}
}

func TestStopLetsAProgramFinish(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "finished")
	p := start(t, "trap 'touch "+file+"; exit 0' TERM; echo ready >"+file+".ready; while :; do sleep 0.01; done", time.Minute)
	awaitFile(t, file+".ready")
	p.stop()
	if err := p.end(t); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the program was not let finish: %v", err)
	}
}

func TestStopKillsAProgramThatDoesNotFinish(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready")
	p := start(t, "trap '' TERM; touch "+file+"; while :; do sleep 0.01; done", 50*time.Millisecond)
	awaitFile(t, file)
	p.stop()
	if err := p.end(t); err != nil {
		t.Fatal(err)
	}
	if p.Pid() != 0 {
		t.Error("it still runs")
	}
	if _, err := p.Signal(syscall.SIGKILL); !errors.Is(err, supervise.ErrNotRunning) {
		t.Errorf("signal to a stopped program: %v, want ErrNotRunning", err)
	}
}

func TestStopEndsAPausedProgramInOrder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "finished")
	p := start(t, "trap 'touch "+file+"; exit 0' TERM; touch "+file+".ready; while :; do sleep 0.01; done", time.Hour)
	awaitFile(t, file+".ready")
	p.next(t) // the script may be ready before its supervisor knows that it runs
	if _, err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if err := p.end(t); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the program was not let finish: %v", err)
	}
}

func TestARestartAsksForTheEnvironmentAgainAndIsNoFault(t *testing.T) {
	t.Parallel()
	p := start(t, "trap 'exit 0' TERM; while :; do sleep 0.01; done", time.Minute)
	first := p.next(t)
	for range 2 * 5 { // more often than a program may end by itself
		p.Restart()
		if ended := p.next(t); ended.Up || ended.Pid != first.Pid || ended.Backoff != 0 {
			t.Fatalf("event %+v: want the end of %d, and no pause", ended, first.Pid)
		}
		back := p.next(t)
		if !back.Up || !back.Again || back.Pid == first.Pid {
			t.Fatalf("event %+v: want another start", back)
		}
		first = back
	}
	if got := p.asked.Load(); got != 11 {
		t.Errorf("the environment was asked for %d times, want 11", got)
	}
}

func TestUsageSeesMemoryAndStarts(t *testing.T) {
	t.Parallel()
	p := start(t, waits, 0)
	p.next(t)
	u := p.Usage()
	if _, err := os.Stat("/proc/self/status"); err == nil && (u.MaxRSS <= 0 || u.Starts != 1) {
		t.Errorf("usage %+v: want memory, and one start", u)
	}
}

// awaitFile waits until the script has made the file.
func awaitFile(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s was not made within 20 s", path)
		}
	}
}
