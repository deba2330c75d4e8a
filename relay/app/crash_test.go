package app

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
)

// crashing is a relay with its crash points.
func crashing(t *testing.T) string {
	t.Helper()
	return testenv.Build(t, "relay", "crashpoints")
}

// TestKilledInEachWindow_I3_I4_I5_I6 kills a real relay process at each of the moments that package crash names, starts
// another, and holds the topic against the table. A window that was not reached fails the test.
//
// On kfake it proves that the windows exist and that the way back is right; on Apache Kafka (BROKER=kafka) it proves the
// rest: what a broker makes of a transaction whose producer is gone.
func TestKilledInEachWindow_I3_I4_I5_I6(t *testing.T) {
	t.Parallel()
	binary := crashing(t)
	var mu sync.Mutex
	hits := make(map[crash.Point]int)
	t.Cleanup(func() { // behind all subtests
		for _, point := range crash.Points {
			t.Logf("%-12s %d hits", point, hits[point])
			if hits[point] == 0 {
				t.Errorf("window %s was never hit", point)
			}
		}
	})
	for _, point := range crash.Points {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			n := killedAt(t, binary, point)
			mu.Lock()
			defer mu.Unlock()
			hits[point] += n
		})
	}
}

// killedAt lets relays die at a point, at its first and at a later hit, and returns how often one did.
func killedAt(t *testing.T, binary string, point crash.Point) (hits int) {
	t.Helper()
	s := setupBefore(t, point)
	log := filepath.Join(t.TempDir(), "hits")
	for _, at := range []string{string(point), string(point) + ":2"} {
		if strings.HasSuffix(at, ":2") && !slices.Contains(recurring, point) {
			break
		}
		s.dies(binary, at, log)
		reached, _ := os.ReadFile(log)
		hits = strings.Count(string(reached), string(point)+"\n")
	}
	s.start()
	s.write(3, 2)
	s.published()
	return hits
}

// setupBefore makes a system with events, in which the next relay passes the point: behind a first start, unless it is part of one.
func setupBefore(t *testing.T, point crash.Point) *system {
	t.Helper()
	s := setup(t)
	s.write(20, 2)
	if slices.Contains(first, point) {
		return s
	}
	_, stop := s.start()
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return s
}

// The points that a first start passes, and those that a relay passes again and again; the others are behind a first
// start.
var (
	first     = []crash.Point{crash.Fenced, crash.Restored, crash.Announced, crash.SlotMade, crash.Loaded, crash.LoadEnded}
	recurring = []crash.Point{crash.Produced, crash.Flushed, crash.Committed, crash.Confirmed}
)

// dies runs a relay that kills itself at a point, and writes until it has.
func (s *system) dies(binary, at, log string) {
	s.t.Helper()
	s.diesBeside(binary, at, log, func() {
		if at != string(crash.IdleBefore) { // which is reached only while there is nothing to publish
			s.write(1, 2)
		}
	}, func() { s.provoke(crash.Point(at)) })
}

// diesBeside is dies; when the relay has been started it calls first, and then write over and over.
func (s *system) diesBeside(binary, at, log string, write func(), first ...func()) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	defer cancel()
	_, dead := s.victim(ctx, binary, at, log, crash.Kill, s.t.Output())
	for _, f := range first {
		f()
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-dead:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || ctx.Err() != nil {
				s.t.Fatalf("the relay ended with %v, want to be killed at %s", err, at)
			}
			return
		case <-ticker.C:
			write()
		}
	}
}

// victim starts a relay that comes to harm at a point. It ends with ctx at the latest.
func (s *system) victim(ctx context.Context, binary, at, log string, by crash.Harm, stderr io.Writer) (process *os.Process, dead <-chan error) {
	s.t.Helper()
	command := exec.CommandContext(ctx, binary, "run", "--listen=127.0.0.1:0", "--log-format=json", "--log-level=info")
	command.Env = append(os.Environ(),
		"ORDERS_DATABASE_URL="+s.config.DatabaseURL, "KAFKA_BROKERS="+strings.Join(s.config.Brokers, ","),
		"TOPIC="+s.config.Topic, "RELAY_SLOT="+s.config.Slot, "RELAY_OUTBOX="+s.config.Outbox,
		"CRASH_AT="+at, "CRASH_HITS="+log, "CRASH_BY="+string(by))
	command.Stderr = stderr
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	return command.Process, ended
}

// provoke writes what leads to a point that ordinary traffic does not reach.
func (s *system) provoke(point crash.Point) {
	s.t.Helper()
	if point == crash.SplitOpen { // a transaction above the hard limit
		s.exec(`INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
			SELECT gen_random_uuid(), 'order', $1, 'order.rejected.v1', n, '{}', now() FROM generate_series(1, $2) AS n`, uuid.New(), defaultLimits().hardEvents+1)
	}
	if point == crash.IdleBefore { // log of other tables above the idle limit
		s.exec("CREATE TABLE elsewhere AS SELECT n, repeat('x', 1000) AS filler FROM generate_series(1, 25000) AS n")
	}
}
