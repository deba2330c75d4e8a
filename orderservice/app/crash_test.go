package app

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// later does the request in the background.
func later(p *process, key string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		r, err := p.place(key)
		if err == nil && r.code != http.StatusCreated {
			err = fmt.Errorf("%d %s", r.code, r.body)
		}
		ended <- err
	}()
	return ended
}

// reached waits until the request has sprung the trap.
func reached(t *testing.T, sprung <-chan struct{}, ended <-chan error) {
	t.Helper()
	select {
	case <-sprung:
	case err := <-ended:
		t.Fatalf("the request ended before its key was sent to the database: %v", err)
	}
}

// untilOrders waits until the database has so many orders.
func untilOrders(t *testing.T, database string, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); query[int](t, database, "SELECT count(*) FROM orders") != n; {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute there are still not %d orders", n)
		}
	}
}

// The window between commit and answer is held open by a wire that keeps Postgres's answer back: the order is in the log,
// the program does not know, and dies.
func TestKilledBetweenCommitAndAnswerTheRetryGetsTheSameOrder_I12(t *testing.T) {
	t.Parallel()
	database := testenv.Orders(t)
	w, url := through(t, database)
	first := start(t, url)
	first.awaits("/readyz", http.StatusOK)
	committing := w.holdAt("key-once", &w.toClient)
	ended := later(first, "key-once")
	reached(t, committing, ended)
	untilOrders(t, database, 1)
	first.signal(syscall.SIGKILL)
	if err := <-ended; err == nil {
		t.Error("the first request was answered, so the kill was not between commit and answer")
	}
	w.toClient.Unlock()
	committed := query[string](t, database, "SELECT id::text FROM orders")

	second := start(t, url)
	second.awaits("/readyz", http.StatusOK)
	again, err := second.place("key-once")
	if err != nil || again.code != http.StatusCreated || again.header.Get("Location") != "/v1/orders/"+committed {
		t.Errorf("retry: got %d %s %v, want order %s", again.code, again.body, err, committed)
	}
	if again.header.Get("Idempotency-Replayed") != "true" {
		t.Error("the retry is not marked as replayed")
	}
	if n := query[int](t, database, "SELECT count(*) FROM outbox"); n != 1 {
		t.Errorf("got %d events, want 1", n)
	}
}

// The dead program's command is still in the network and arrives later, while the retry is being done.
func TestCommandThatArrivesAfterItsProgramsDeathHasOneEffect_I12(t *testing.T) {
	t.Parallel()
	database := testenv.Orders(t)
	w, url := through(t, database)
	first := start(t, url)
	first.awaits("/readyz", http.StatusOK)
	sending := w.holdAt("key-late", &w.toServer)
	ended := later(first, "key-late")
	reached(t, sending, ended)
	first.signal(syscall.SIGKILL)
	if err := <-ended; err == nil {
		t.Error("the first request was answered before it was done")
	}
	second := start(t, database) // not by way of the wire
	second.awaits("/readyz", http.StatusOK)
	retried := later(second, "key-late")
	w.toServer.Unlock()
	if err := <-retried; err != nil {
		t.Errorf("retry: %v", err)
	}
	if n := query[int](t, database, "SELECT count(*) FROM orders"); n != 1 {
		t.Errorf("got %d orders, want 1", n)
	}
}

func TestRequestUnderWayIsAnsweredAfterSigterm_I12(t *testing.T) {
	t.Parallel()
	database := testenv.Orders(t)
	w, url := through(t, database)
	p := start(t, url)
	p.awaits("/readyz", http.StatusOK)
	committing := w.holdAt("key-drain", &w.toClient)
	ended := later(p, "key-drain")
	reached(t, committing, ended)
	untilOrders(t, database, 1)
	p.signal(syscall.SIGTERM)
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.log.String(), "stopping"); {
		if time.Now().After(deadline) {
			t.Fatal("the signal was not taken")
		}
	}
	w.toClient.Unlock()
	if err := <-ended; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("got exit code %d, want 0:\n%s", code, p.log)
	}
}

func TestReadinessFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	database := cluster.Orders()
	cluster.Kill()
	p := start(t, database)
	if body := p.awaits("/readyz", http.StatusServiceUnavailable); !strings.Contains(body, "database") || strings.Contains(body, "127.0.0.1") {
		t.Errorf("without a database: got %q, want the part that is missing and no address", body)
	}
	p.awaits("/livez", http.StatusOK)
	if r, err := p.place("early"); err != nil || r.code != http.StatusServiceUnavailable {
		t.Errorf("place: got %d %s %v, want 503", r.code, r.body, err)
	}
	cluster.Start()
	p.awaits("/readyz", http.StatusOK)
	if r, err := p.place("early"); err != nil || r.code != http.StatusCreated {
		t.Errorf("place: got %d %s %v, want 201", r.code, r.body, err)
	}
	cluster.Kill()
	p.awaits("/readyz", http.StatusServiceUnavailable)
	cluster.Start()
	p.awaits("/readyz", http.StatusOK)
	if n := strings.Count(p.log.String(), "is not ready"); n != 2 {
		t.Errorf("got %d warnings, want one per outage:\n%s", n, p.log)
	}
}

func TestMissingSchemaEndsWithTheRemedy(t *testing.T) {
	t.Parallel()
	p := start(t, testenv.Empty(t))
	if code := p.wait(); code != 1 || !strings.Contains(p.log.String(), "run foodctl migrate") {
		t.Errorf("got exit code %d and\n%s\nwant 1 and the remedy", code, p.log)
	}
}

func TestGeneratedOrdersAreFinishedAndSigtermDrains(t *testing.T) {
	t.Parallel()
	database := testenv.Orders(t)
	p := start(t, database, "GENERATE=true", "RATE=0", "ORDERS=20", "WRITERS=4")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.awaits("/metrics", http.StatusOK), "\ngenerator_done 1\n"); {
		if time.Now().After(deadline) {
			t.Fatalf("the generator did not finish:\n%s", p.log)
		}
	}
	if n := query[int](t, database, "SELECT count(*) FROM orders"); n != 20 {
		t.Errorf("got %d orders, want 20", n)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Errorf("got exit code %d, want 0:\n%s", code, p.log)
	}
}

func TestWrongUseIsExplained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"no URL":     {[]string{"ORDERS_DATABASE_URL="}, "is not a Postgres URL"},
		"bad URL":    {[]string{"ORDERS_DATABASE_URL=postgres://app:s3cret@host:port/x"}, "is not a Postgres URL"},
		"bad rate":   {[]string{"RATE=fast"}, "--rate"},
		"bad listen": {[]string{"ORDERSERVICE_LISTEN=7481"}, "--listen wants HOST:PORT"},
		"too fast":   {[]string{"GENERATE=1", "RATE=-1", "ORDERS_DATABASE_URL=" + testenv.Orders(t)}, "rate -1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "postgres://127.0.0.1:1/orders", c.env...)
			if code := p.wait(); code == 0 || !strings.Contains(p.log.String(), c.want) || strings.Contains(p.log.String(), "s3cret") {
				t.Errorf("got exit code %d and\n%s\nwant an error with %q and no password", code, p.log, c.want)
			}
		})
	}
}

func TestHealthcheckAsksTheRunningProgram(t *testing.T) {
	t.Parallel()
	p := start(t, testenv.Orders(t))
	p.awaits("/readyz", http.StatusOK)
	var out, errs testenv.Output
	for probe, want := range map[string]bool{"live": true, "ready": true, "well": false} {
		err := run(t.Context(), []string{"healthcheck", probe, "--listen", p.addr}, &out, &errs)
		if (err == nil) != want {
			t.Errorf("%s: got %v", probe, err)
		}
	}
}
