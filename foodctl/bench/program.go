package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
)

// program is a relay or projector of the trial, as a process that can be started again and again.
type program struct {
	name string
	path string
	env  []string
	url  string // of its metrics
	log  string // path; all of its processes write to it

	process *child.Process // the newest
}

// patience is how long a program may take for anything that it is to do soon.
const patience = time.Minute

// program names a program of the trial without starting it. Its metrics are where the variable listen says.
func (s *servers) program(name, path, listen string, env ...string) (program, error) {
	port, err := ports.Free()
	if err != nil {
		return program{}, err
	}
	address := net.JoinHostPort(stack.Host, strconv.Itoa(port))
	return program{
		name: name, path: path, url: "http://" + address, log: filepath.Join(s.dir, name+".log"),
		env: append(append(stack.Inherited(os.Environ()), env...), listen+"="+address, "LOG_FORMAT=text"),
	}, nil
}

// start starts a process, which dies with this one.
func (p *program) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.path, "run") //nolint:noctx // stop ends it
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	if p.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return nil
}

// until asks again and again whether something is so, for as long as the program lives.
func (p *program) until(ctx context.Context, every time.Duration, so func(context.Context) (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if is, err := so(ctx); is || err != nil {
			return err
		}
		select {
		case <-p.process.Done():
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("%w; its log ends: %s", context.Cause(ctx), supervise.LastLine(p.log))
		case <-tick.C:
		}
	}
}

func (p *program) ended() error {
	how := "exit code 0"
	if err := p.process.Wait(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s ended, %s: %s", p.name, how, supervise.LastLine(p.log))
}

// stop lets the program drain and waits until it is gone. One that was never started, or is gone, is no error.
func (p *program) stop(ctx context.Context) error {
	if p.process == nil {
		return nil
	}
	// A paused one would not hear of its end.
	if err := errors.Join(p.process.Signal(syscall.SIGTERM), p.process.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-p.process.Done():
		return nil
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.process.Kill())
	case <-time.After(patience):
		err := fmt.Errorf("%s does not stop; its log ends: %s", p.name, supervise.LastLine(p.log))
		return errors.Join(err, p.process.Kill())
	}
}
