// Package supervise keeps a program running as a child process: it starts it, starts it again when it dies, stops it in
// order, and says what it used.
//
// It promises that a program that was killed is back at once, that one which never comes up is given up with the last
// line that it wrote, and (through package child, on Linux) that none outlives this process. It does not judge whether a
// running program does its work.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// A program that has lived for settled is sound: it is started again as often as it dies. One that never did and has
// ended by itself maxExits times has a fault that starting it again does not cure. Being killed is no fault of its own.
const (
	settled    = 10 * time.Second
	maxExits   = 5
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// Spec says what to run.
type Spec struct {
	Name  string
	Path  string
	Args  []string
	Env   func() []string // asked before each start; the whole environment. Secrets travel here, never in Args
	Log   string          // file that gets stdout and stderr, appended to
	Grace time.Duration   // from SIGTERM to SIGKILL; 0 kills at once
	Final []int           // exit codes by which the program says that starting it again cannot help
}

// Event is a change in a program's life.
type Event struct {
	Name    string
	Pid     int
	Up      bool          // started, else ended
	Again   bool          // started, and not for the first time
	Reason  string        // how it ended, such as "signal: killed"
	Detail  string        // the last line that it wrote before it ended
	Backoff time.Duration // from its end to the next start
}

// Program is a program that is kept running.
type Program struct {
	spec    Spec
	notify  func(Event)
	started chan struct{} // closed when the first process runs
	again   chan struct{} // holds one when the process is to be ended and started again

	// mu guards what follows.
	mu      sync.Mutex
	process *child.Process // nil while none runs, and from when it is being stopped
	past    Usage          // of the processes that have ended
}

// New makes a program that is not yet running. Notify is called from Run's goroutine and must not block.
func New(spec Spec, notify func(Event)) *Program {
	return &Program{spec: spec, notify: notify, started: make(chan struct{}), again: make(chan struct{}, 1)}
}

// Name is the name in the Spec.
func (p *Program) Name() string { return p.spec.Name }

// Started is closed when the first process runs.
func (p *Program) Started() <-chan struct{} { return p.started }

// Run keeps the program running until ctx is done, then stops it: SIGTERM, and SIGKILL after the grace. It returns an
// error only when the program cannot be kept running.
func (p *Program) Run(ctx context.Context) error {
	var r record
	for ctx.Err() == nil {
		began := time.Now()
		end, asked, err := p.once(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.spec.Name, err)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that is how it is to end
		}
		if asked {
			p.notify(Event{Name: p.spec.Name, Pid: end.Pid(), Reason: "as it was asked to"})
			continue
		}
		r.add(end.Exited(), time.Since(began))
		detail := LastLine(p.spec.Log)
		if r.hopeless() || (end.Exited() && slices.Contains(p.spec.Final, end.ExitCode())) {
			return fmt.Errorf("%s ended, the last of %d times with %s: %s; its log is %s", p.spec.Name, r.exits, end, detail, p.spec.Log)
		}
		pause := backoff(r.quick)
		p.notify(Event{Name: p.spec.Name, Pid: end.Pid(), Reason: end.String(), Detail: detail, Backoff: pause})
		_ = ops.Sleep(ctx, pause) // the loop asks ctx
	}
	return nil
}

// record is how a program's processes have ended so far.
type record struct {
	exits int  // ends by themselves
	quick int  // of those, the last ones in a row that came within a second
	sound bool // one has lived for settled
}

func (r *record) add(byItself bool, lived time.Duration) {
	r.sound = r.sound || lived >= settled
	if !byItself || lived >= time.Second {
		r.quick = 0
	}
	if byItself {
		r.exits++
		r.quick++
	}
}

func (r *record) hopeless() bool { return r.exits >= maxExits && !r.sound }

// backoff is nothing before the second quick end in a row. One that was killed is back at once, as often as it may be.
func backoff(quick int) time.Duration {
	if quick < 2 {
		return 0
	}
	d := min(minBackoff<<min(quick-2, 10), maxBackoff)
	return d/2 + rand.N(d/2+1) // jitter, not a secret
}

// once runs the program to its end and says how it ended, and whether Restart asked for it. An error means that it could
// not be started.
func (p *Program) once(ctx context.Context) (end *os.ProcessState, asked bool, err error) {
	select {
	case <-p.again: // this start is the one; asked for later than here, what the environment is made of may be too old
	default:
	}
	log, err := os.OpenFile(p.spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, false, err
	}
	defer log.Close()
	cmd := exec.Command(p.spec.Path, p.spec.Args...) //nolint:noctx // stop ends it, SIGTERM first
	cmd.Env, cmd.Stdout, cmd.Stderr = p.spec.Env(), log, log
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, false, err
	}
	p.notify(Event{Name: p.spec.Name, Pid: process.PID(), Up: true, Again: p.begin(process)})
	select {
	case <-process.Done():
	case <-p.again:
		asked = true
		p.stop(process)
	case <-ctx.Done():
		p.stop(process)
	}
	p.end(cmd.ProcessState)
	return cmd.ProcessState, asked, nil
}

// stop returns when the process is gone, which it sees to. From its beginning Signal reaches the process no more: a
// SIGSTOP would keep it from ending.
func (p *Program) stop(process *child.Process) {
	p.mu.Lock()
	p.process = nil
	p.mu.Unlock()
	// A paused one would not hear of its end.
	if p.spec.Grace > 0 && errors.Join(process.Signal(syscall.SIGTERM), process.Signal(syscall.SIGCONT)) == nil {
		grace := time.NewTimer(p.spec.Grace)
		defer grace.Stop()
		select {
		case <-process.Done():
			return
		case <-grace.C:
		}
	}
	_ = process.Kill() // fails only if it has ended by itself
	<-process.Done()
}

func (p *Program) begin(process *child.Process) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = process
	if p.past.Starts == 0 {
		close(p.started)
	}
	return p.past.Starts > 0
}

func (p *Program) end(s *os.ProcessState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = nil
	p.past.CPU += s.SystemTime() + s.UserTime()
	p.past.Starts++
}

// Restart ends the running process as Run does at its end, and starts another, whose environment is asked for after this
// call. It does not wait for either. A program that is down starts anyway.
func (p *Program) Restart() {
	select {
	case p.again <- struct{}{}:
	default: // one that was asked for before, and has not begun
	}
}

// ErrNotRunning is returned for a signal to a program that is down at the moment, or being stopped.
var ErrNotRunning = errors.New("not running")

// Signal sends a signal to the running process and returns its pid.
func (p *Program) Signal(sig os.Signal) (pid int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0, fmt.Errorf("%s: %w", p.spec.Name, ErrNotRunning)
	}
	return p.process.PID(), p.process.Signal(sig)
}

// Pid of the running process, 0 while none runs.
func (p *Program) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0
	}
	return p.process.PID()
}
