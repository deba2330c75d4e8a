package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

// ExitError ends the program with Code. A nil Err prints nothing: the program has said what there was to say.
type ExitError struct {
	Code int
	Err  error
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *ExitError) Unwrap() error { return e.Err }

// Exit prints err as one line, if there is one and the log does not have it (see Ended), and returns the exit code: 0 for
// nil, the code of an *ExitError, else 1.
func Exit(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	if _, told := errors.AsType[*logged](err); !told && !silent(err) {
		fmt.Fprintln(stderr, "error:", oneLine(err))
	}
	return exitCode(err)
}

func exitCode(err error) int {
	if exit, has := errors.AsType[*ExitError](err); has {
		return exit.Code
	}
	return 1
}

func silent(err error) bool {
	exit, has := errors.AsType[*ExitError](err)
	return has && exit.Err == nil
}

// oneLine takes the line breaks out of a joined error: one line per end of a process is what a log collector can use.
func oneLine(err error) string {
	var line strings.Builder
	for part := range strings.Lines(err.Error()) {
		switch part = strings.TrimSpace(part); {
		case part == "":
			continue
		case strings.HasSuffix(line.String(), ":"):
			line.WriteByte(' ')
		case line.Len() > 0:
			line.WriteString("; ")
		}
		line.WriteString(part)
	}
	return line.String()
}

// Signals returns a context that ends at the first SIGINT or SIGTERM. The second one ends the process at once, drained or
// not, with the code that a shell gives for that signal. The caller must call stop, from which on signals have their
// default effect.
func Signals(parent context.Context) (ctx context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	received := make(chan os.Signal, 2) // Notify does not wait: without room the second one would be lost
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		select {
		case <-received:
			cancel()
		case <-stopped:
			return
		}
		select {
		case second := <-received:
			number, _ := second.(syscall.Signal)
			os.Exit(128 + int(number))
		case <-stopped:
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(received)
		close(stopped)
		cancel()
	})
}
