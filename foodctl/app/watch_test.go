package app

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
)

func TestWatchCountsForItselfAndSeesATakeover(t *testing.T) {
	t.Parallel()
	dir, flags, ports := place(t)
	two, err := stack.FreePorts(t.Context(), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(flags, fmt.Sprintf("--relay-port=%d", ports.Relay))
	flags[i] = fmt.Sprintf("--relay-port=%d", two.Relay)
	up := foodctl(t, append(flags, "--relays=2")...)
	up.flowing()

	relays := fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", two.Relay, two.Relay+1)
	watch := foodctl(t, "watch", "--json", "--data-dir", dir, fmt.Sprintf("--postgres-port=%d", ports.Postgres),
		"--brokers", fmt.Sprintf("127.0.0.1:%d", ports.Broker), "--relays", relays)
	// The notice comes once, and may come before the first counts: what is passed over is gone.
	active := watch.until("who publishes", func(l line) bool { return strings.HasSuffix(l.Notice, " publishes") })
	seen := watch.until("counts of its own", func(l line) bool { return l.Applied > 0 })
	if seen.Written < seen.Applied {
		t.Errorf("%d applied of %d written", seen.Applied, seen.Written)
	}
	address, _, _ := strings.Cut(active.Notice, " ")
	pauseRelay(t, up.Process.Pid, address) // one that is killed may be back before anybody has looked
	watch.until("the silence", func(l line) bool { return strings.HasPrefix(l.Notice, address+" publishes no longer") })
	watch.until("the other take over", func(l line) bool { return strings.Contains(l.Notice, "has taken over from "+address) })
	watch.until("orders flow again", func(l line) bool { return l.Applied > seen.Applied })
	if err := watch.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := watch.exit(); code != 0 {
		t.Errorf("after Ctrl-C: exit code %d: %s", code, watch.stderr.String())
	}
}

// pauseRelay stops the child of a foodctl that was told to listen there, until it is killed.
func pauseRelay(t *testing.T, parent int, address string) {
	t.Helper()
	for _, pid := range children(t, parent) {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !bytes.Contains(environment, []byte("RELAY_LISTEN="+address+"\x00")) {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no child of %d listens at %s", parent, address)
}
