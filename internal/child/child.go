// Package child starts processes that do not outlive this one, however it ends.
//
// On Linux the kernel sends a child its death signal when this process dies, kill -9 included. On other systems a child
// outlives a parent that was killed. A child has its own process group, so that a Ctrl-C at the terminal reaches this
// process only, and it alone decides in which order the children stop.
package child

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a running or ended child.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and err is set
	err  error         // from exec.Cmd.Wait; read after done
}

// Start starts the command, which dies by the signal if this process dies first.
func Start(cmd *exec.Cmd, death syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setDeathSignal(cmd.SysProcAttr, death)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.keep(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// keep starts the process and stays on the thread that did until the process is gone: the kernel takes the end of that
// thread, not of the whole program, for the death of the parent.
func (p *Process) keep(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the process is gone and returns how it ended: nil for exit code 0.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends a signal. A process that is gone already is no error.
func (p *Process) Signal(s os.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill ends the process at once and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return nil
}
