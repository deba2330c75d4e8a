package ops

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// childVariable makes the test binary the program under test: it waits for its first signal, says so, and never ends by
// itself.
const childVariable = "OPS_TEST_CHILD"

func child() {
	ctx, stop := Signals(context.Background())
	defer stop()
	fmt.Fprintln(os.Stdout, "up")
	<-ctx.Done()
	fmt.Fprintln(os.Stdout, "draining")
	select {}
}

func TestFirstSignalDrainsAndSecondEnds(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		program := exec.CommandContext(t.Context(), os.Args[0])
		program.Env = append(os.Environ(), childVariable+"=1")
		out, err := program.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for _, want := range []string{"up", "draining"} {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("%v: got %q, want %q", signal, lines.Text(), want)
			}
			if err := program.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
		_ = program.Wait() // its code is what counts
		if got, want := program.ProcessState.ExitCode(), 128+int(signal); got != want {
			t.Errorf("%v: exit code %d, want %d", signal, got, want)
		}
	}
}
