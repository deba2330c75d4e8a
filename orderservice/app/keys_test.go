package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// asWriter connects with the rights of orderservice's login.
func asWriter(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["role"] = "orders_writer"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestOldKeysGoWithTheServicesRightsAlone(t *testing.T) {
	t.Parallel()
	url := testenv.Orders(t)
	admin, pool := connectPool(t, url), asWriter(t, url)
	const old, young = 2*keysAtOnce + 7, 3
	for age, n := range map[string]int{"25 hours": old, "23 hours": young} {
		_, err := admin.Exec(t.Context(), `
			INSERT INTO idempotency_keys (key, request_hash, order_id, version, created_at)
			SELECT $1 || ' ' || n, decode(repeat('00', 32), 'hex'), gen_random_uuid(), 1, now() - $1::interval
			FROM generate_series(1, $2::int) AS n`, age, n)
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready := make(chan struct{})
	var group sync.WaitGroup
	var pruners []*pruner
	for range 2 {
		p := newPruner(prometheus.NewRegistry(), eventlog.New(pool, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler), 24*time.Hour)
		p.every = time.Millisecond
		pruners = append(pruners, p)
		group.Go(func() {
			if err := p.run(ctx, ready); err != nil {
				t.Error(err)
			}
		})
	}
	close(ready)
	late := time.After(time.Minute)
	for left := -1; left != young; {
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM idempotency_keys").Scan(&left); err != nil {
			t.Fatal(err)
		}
		select {
		case <-late:
			t.Fatalf("%d keys are left, want %d", left, young)
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	group.Wait()
	if sum := testutil.ToFloat64(pruners[0].pruned) + testutil.ToFloat64(pruners[1].pruned); sum != old {
		t.Errorf("the metrics say %v, want %d", sum, old)
	}
}

func connectPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestWhatKeepsKeysFromBeingPrunedIsSaidOnce(t *testing.T) {
	t.Parallel()
	url := testenv.Orders(t)
	if _, err := connectPool(t, url).Exec(t.Context(), "REVOKE DELETE ON idempotency_keys FROM orders_writer"); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p := newPruner(prometheus.NewRegistry(), eventlog.New(asWriter(t, url), slog.New(slog.DiscardHandler)), slog.New(slog.NewTextHandler(&log, nil)), 24*time.Hour)
	p.every = time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	ready := make(chan struct{})
	close(ready)
	if err := p.run(ctx, ready); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "idempotency keys are not pruned"); n != 1 || !strings.Contains(log.String(), "permission denied") {
		t.Errorf("said %d times, want once and why:\n%s", n, log.String())
	}
}

func TestARetentionThatIsNoPromiseIsRefused(t *testing.T) {
	t.Parallel()
	for _, d := range []string{"0", "0s", "-24h", "4m59s"} {
		var stderr bytes.Buffer
		err := run(t.Context(), []string{"--database-url=postgres://nobody@127.0.0.1:1/orders", "--key-retention=" + d}, &stderr, &stderr)
		if err == nil || !strings.Contains(err.Error(), "key-retention") {
			t.Errorf("%s: got %v", d, err)
		}
	}
}
