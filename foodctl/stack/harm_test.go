package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// limit bounds every wait of these tests.
const limit = 2 * time.Minute

// running is a small system with two relays behind cables, which stops when the test ends.
func running(t *testing.T) *Stack {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("what a process is at is read from /proc")
	}
	dir, err := OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	c := Config{
		Directory: dir, DatabaseURL: testenv.Empty(t), Names: ScratchNames("harm_" + strings.ReplaceAll(uuid.NewString()[:8], "-", "")),
		Relays: 2, Projectors: 1, Cables: true, Traffic: Traffic{Rate: 30},
		Progress: func(string) {}, Notify: func(Change) {},
	}
	if os.Getenv("BROKER") == "kafka" {
		c.Brokers = testenv.Broker(t)
	}
	s := startOnFreePorts(t, c)
	t.Cleanup(func() {
		select {
		case err := <-s.Failed():
			t.Error(err)
		default:
		}
		if t.Failed() {
			for _, p := range s.Relays {
				log, _ := os.ReadFile(p.Log)
				t.Logf("log of %s:\n%s", p.Name(), log)
			}
		}
		if err := errors.Join(s.Stop(context.Background()), s.Scrub(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// startOnFreePorts starts the system, on other ports if somebody takes those that were free.
func startOnFreePorts(t *testing.T, c Config) *Stack {
	t.Helper()
	for range 10 {
		var err error
		if c.Ports, err = FreePorts(t.Context(), c.Relays, c.Projectors); err != nil {
			t.Fatal(err)
		}
		s, err := Start(t.Context(), c)
		if err == nil {
			return s
		}
		if !strings.Contains(err.Error(), "is taken") {
			t.Fatal(err)
		}
	}
	t.Fatal("all free ports are taken before they can be used")
	return nil
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(limit); !so(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// paused says whether a process is stopped by a signal (proc(5)).
func paused(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "T")
}

// is says whether a relay has a role.
func is(t *testing.T, relay *Program, role string) bool {
	t.Helper()
	m, err := status.Scrape(t.Context(), relay.URL)
	return err == nil && m.Is("relay_role", "role", role)
}

// publisher waits until a relay publishes, and returns it and the other.
func publisher(t *testing.T, s *Stack) (active, other *Program) {
	t.Helper()
	eventually(t, "a relay publishes", func() bool {
		for i, p := range s.Relays {
			if is(t, p, "active") {
				active, other = p, s.Relays[1-i]
			}
		}
		return active != nil
	})
	return active, other
}

// published is what a relay has published since it was started.
func published(t *testing.T, relay *Program) (float64, error) {
	t.Helper()
	m, err := status.Scrape(t.Context(), relay.URL)
	if err != nil {
		return 0, err
	}
	return m.Sum("relay_published_events_total"), nil
}

// goesOn waits until something is being done to a program.
func goesOn(t *testing.T, s *Stack, what string, to *Program) {
	t.Helper()
	eventually(t, what+" goes on", func() bool {
		s.harm.mu.Lock()
		defer s.harm.mu.Unlock()
		return s.harm.going[what+" "+to.Name()]
	})
}

// standsStill waits until two readings of what a relay has published are equal, between which more was written, and returns
// them: what was in the middle of its way when it was cut off has arrived then.
func standsStill(t *testing.T, s *Stack, relay *Program) float64 {
	t.Helper()
	last, then := -1.0, written(t, s)
	eventually(t, "it publishes no more", func() bool {
		if written(t, s)-then < 20 {
			return false
		}
		now, err := published(t, relay)
		if err != nil {
			return false
		}
		still := now == last
		last, then = now, written(t, s)
		return still
	})
	return last
}

// written is how many events there are.
func written(t *testing.T, s *Stack) (n float64) {
	t.Helper()
	err := s.server.connect(t.Context(), s.config.Names.OrdersDB, func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), "SELECT count(*) FROM outbox").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// during does something to the system for an hour, and returns what ends it and returns how it ended.
func during(t *testing.T, do func(context.Context, time.Duration) error) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- do(ctx, time.Hour) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func TestAKilledProgramIsHitAndComesBack(t *testing.T) {
	t.Parallel()
	s := running(t)
	p := s.Projectors[0]
	pid, err := s.Kill(p.Name())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process is there", func() bool { return p.Pid() != 0 && p.Pid() != pid })
}

func TestTheOtherRelayTakesOverFromAPausedOneWhichThenStandsBy(t *testing.T) {
	t.Parallel()
	s := running(t)
	struck, other := publisher(t, s)
	end := during(t, func(ctx context.Context, d time.Duration) error { return s.Pause(ctx, struck.Name(), d) })
	eventually(t, "it is paused", func() bool { return paused(struck.Pid()) })
	if err := s.Pause(t.Context(), struck.Name(), time.Hour); err == nil || !strings.Contains(err.Error(), "in the middle of one") {
		t.Errorf("paused once more: %v, want a refusal", err)
	}
	eventually(t, "the other publishes", func() bool { return is(t, other, "active") })
	if err := end(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was canceled", err)
	}
	eventually(t, "it stands by", func() bool { return is(t, struck, "standby") })

	if err := s.Pause(t.Context(), struck.Name(), time.Millisecond); err != nil {
		t.Errorf("a pause that ends by itself: %v", err)
	}
	eventually(t, "it goes on", func() bool { return !paused(struck.Pid()) })
}

func TestARelayThatIsCutOffFromKafkaPublishesNothingAndThenAll(t *testing.T) {
	t.Parallel()
	s := running(t)
	struck, _ := publisher(t, s)
	end := during(t, func(ctx context.Context, d time.Duration) error { return s.Partition(ctx, struck.Name(), d) })
	goesOn(t, s, "partition", struck)
	before, then := standsStill(t, s, struck), written(t, s)
	eventually(t, "more wait", func() bool { return written(t, s)-then > 50 })
	if now, err := published(t, struck); err != nil || now != before {
		t.Errorf("%g events published in the middle of the cut (%v)", now-before, err)
	}
	if err := end(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was canceled", err)
	}
	all := written(t, s)
	eventually(t, "all is published", func() bool {
		now, err := published(t, struck)
		return err == nil && now >= all
	})
}

func TestAnotherRateIsThatOfTheNextProcess(t *testing.T) {
	t.Parallel()
	s := running(t)
	pid := s.OrderService.Pid()
	if err := s.SetRate(77); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was started again", func() bool { return s.OrderService.Pid() != 0 && s.OrderService.Pid() != pid })
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.OrderService.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(environ), "\x00RATE=77\x00") {
		t.Error("RATE is not 77")
	}
	had := written(t, s)
	eventually(t, "orders are placed", func() bool { return written(t, s) > had })
}

func TestStopEndsAllHarmAndHangsOnNone(t *testing.T) {
	t.Parallel()
	s := running(t)
	struck, _ := publisher(t, s)
	ends := []func() error{
		during(t, func(ctx context.Context, d time.Duration) error { return s.Partition(ctx, struck.Name(), d) }),
		during(t, func(ctx context.Context, d time.Duration) error { return s.Pause(ctx, "projector-1", d) }),
		during(t, func(ctx context.Context, d time.Duration) error { return s.Pause(ctx, "orderservice", d) }),
	}
	var pids []int
	for _, p := range s.Programs() {
		pids = append(pids, p.Pid())
	}
	eventually(t, "they are paused", func() bool { return paused(s.OrderService.Pid()) && paused(s.Projectors[0].Pid()) })
	goesOn(t, s, "partition", struck)
	began := time.Now()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > grace {
		t.Errorf("Stop took %s, as if something had hung", took)
	}
	for _, end := range ends {
		if err := end(); err != nil {
			t.Errorf("%v, want nil: it ended with the system", err)
		}
	}
	for _, pid := range pids {
		if paused(pid) {
			t.Errorf("process %d was left paused", pid)
		}
	}
	if _, err := s.Kill("relay"); !errors.Is(err, errStopping) {
		t.Errorf("kill afterwards: %v, want errStopping", err)
	}
	if err := errors.Join(s.Pause(t.Context(), "relay", 0), s.SetRate(1)); !errors.Is(err, errStopping) {
		t.Errorf("more afterwards: %v, want errStopping", err)
	}
}

func TestHarmThatCannotBeDoneIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	named := func(name string) *Program { return &Program{Program: supervise.New(supervise.Spec{Name: name}, nil)} }
	gone := named("relay-2")
	gone.done = make(chan struct{})
	close(gone.done)
	s := &Stack{
		OrderService: named("orderservice"), Relays: []*Program{named("relay"), gone}, config: Config{Traffic: Traffic{Off: true}},
		harm: harm{over: make(chan struct{}), going: make(map[string]bool)},
	}
	kill := func(name string) error { _, err := s.Kill(name); return err }
	for want, err := range map[string]error{
		"give one of orderservice, relay, ": kill("postgres"),
		"there is no program \"x\"":         s.Pause(t.Context(), "x", 0),
		"being started, try again":          kill("relay"),
		"stopped for good":                  kill("relay-2"),
		"only a relay can be cut off":       s.Partition(t.Context(), "orderservice", 0),
		"start it with one":                 s.Partition(t.Context(), "relay", 0),
		"give 0, for as fast as it can":     s.SetRate(-1),
		"generates no orders in this syste": s.SetRate(5),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
}
