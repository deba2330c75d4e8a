package app

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// world is a topic and a read model, with real projector processes.
type world struct {
	*testing.T
	*viewtest.Producer

	pool *pgxpool.Pool
	args []string
}

func setup(t *testing.T) *world {
	t.Helper()
	brokers, url := testenv.Broker(t), testenv.ReadModel(t)
	topic := testenv.Topic(t, brokers, 3)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &world{T: t, Producer: viewtest.NewProducer(t, brokers, topic), pool: pool, args: []string{
		"run", "--database-url", url, "--brokers", brokers, "--topic", topic, "--group", testenv.Name(t),
		"--session-timeout", "6s", "--max-batch", "40", "--members", "2",
	}}
}

// projector is one process.
type projector struct {
	*child.Process

	listen string
}

func (w *world) start(more ...string) *projector {
	w.Helper()
	p := &projector{listen: free(w)}
	cmd := exec.CommandContext(w.Context(), testenv.Build(w, "projector"), append(append([]string{}, w.args...), append(more, "--listen", p.listen)...)...)
	cmd.Stdout, cmd.Stderr = w.Output(), w.Output()
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		w.Fatal(err)
	}
	p.Process = process
	w.Cleanup(func() { _ = process.Kill() })
	return p
}

// free is an address that nothing listens on at the moment.
func free(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (w *world) until(what string, holds func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			w.Fatalf("did not happen in time: %s", what)
		case <-tick.C:
		}
	}
}

func (w *world) number(query string, args ...any) (n int64) {
	w.Helper()
	if err := w.pool.QueryRow(w.Context(), query, args...).Scan(&n); err != nil {
		w.Fatalf("%s: %v", query, err)
	}
	return n
}

func (w *world) applied() int64 {
	return w.number(`SELECT coalesce(sum(applied_events), 0)::bigint FROM projection_offsets`)
}

// send publishes in the background; the returned function waits for its end.
func (w *world) send(events []viewtest.Event) (wait func()) {
	sent := make(chan error, 1)
	go func() { sent <- w.Send(events, 30) }()
	return func() {
		w.Helper()
		if err := <-sent; err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) arrived(events []viewtest.Event) {
	w.Helper()
	w.until("all events applied", func() bool { return w.applied() >= int64(len(events)) })
	viewtest.Equal(w, w.pool, events)
}

func TestKilledProjectorsLoseAndDoubleNothing_I8(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(50, 60, 6000)
	wait := w.send(events)
	names := []string{"a", "b"}
	running := []*projector{w.start("--instance", names[0]), w.start("--instance", names[1])}
	r := rand.New(rand.NewPCG(50, 1))
	for range 8 {
		before, more := w.applied(), int64(r.IntN(300))
		w.until("progress", func() bool { return w.applied() >= min(before+more, int64(len(events))) })
		i := r.IntN(2)
		if err := running[i].Kill(); err != nil {
			t.Fatal(err)
		}
		running[i] = w.start("--instance", names[i])
	}
	wait()
	w.arrived(events)
}

// TestAPausedProjectorThatComesBackDisturbsNothing_I8 stops a process in its tracks for longer than its session lives: another one
// has its partitions when it goes on.
func TestAPausedProjectorThatComesBackDisturbsNothing_I8(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(51, 60, 4000)
	paused := w.start()
	wait := w.send(events[:2000])
	w.until("it applies", func() bool { return w.applied() > 200 })
	claims := w.number(`SELECT sum(owner_epoch)::bigint FROM projection_offsets`)
	if err := paused.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.until("the other has claimed all", func() bool {
		return w.number(`SELECT sum(owner_epoch)::bigint FROM projection_offsets`) >= claims+3
	})
	wait()
	w.until("the other has caught up", func() bool { return w.applied() == 2000 })
	if err := paused.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.send(events[2000:])()
	w.arrived(events)
}

func TestSIGTERMDrainsAndExitsWithZero(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(52, 10, 100)
	w.send(events)()
	p := w.start()
	w.arrived(events)
	w.until("ready", func() bool { return w.get(p, "/readyz") == "ready\n" })
	for _, want := range []string{
		"projector_duplicate_events_total 0", "projector_assigned_partitions 3",
		"projector_end_to_end_latency_seconds_count 100", "projector_partition_stopped{partition=\"0\"} 0", "projector_rebalances_total",
	} {
		// Waited for: the second member may be joining still, and counters follow the commit.
		w.until("metric "+want, func() bool { return strings.Contains(w.get(p, "/metrics"), want) })
	}
	if err := run(t.Context(), []string{"healthcheck", "--listen", p.listen}, io.Discard, io.Discard); err != nil {
		t.Errorf("healthcheck: %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("exit: %v, want code 0", err)
	}
}

func (w *world) get(p *projector, path string) string {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "http://"+p.listen+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return "" // it does not listen yet
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.Fatal(err)
	}
	return string(body)
}
