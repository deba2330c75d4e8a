package generator

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func tools(t testing.TB, url string) Tools {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return Tools{
		Pool: pool, Log: eventlog.New(pool, slog.New(slog.DiscardHandler)), Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
	}
}

func flatOut(orders int64) Config {
	return Config{Orders: orders, Seed: 1, Run: "r", Writers: 4, MaxOpen: 100, CancelRate: 0.2, FailureRate: 0.3, RefundRate: 0.3}
}

func count(t *testing.T, pool *pgxpool.Pool, where string) (n int64) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM orders WHERE `+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// unfinished selects what must not be left. A foreign order is not the generator's.
const unfinished = `(state ? 'open_refund' OR fulfilment NOT IN ('completed', 'rejected', 'cancelled', 'delivery_failed', 'expired'))
	AND id <> '00000000-0000-0000-0000-000000000001'`

func (m *Metrics) failures() float64 {
	return testutil.ToFloat64(m.errors.WithLabelValues("unavailable")) + testutil.ToFloat64(m.errors.WithLabelValues("unknown"))
}

// until waits for what another goroutine brings about, for a minute at most.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for !reached() {
		select {
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestRunFinishesAllItsOrders(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]float64{"flat out": 0, "paced": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			with, cfg := tools(t, testenv.Orders(t)), flatOut(60)
			cfg.Rate = rate
			if err := Run(t.Context(), cfg, with); err != nil {
				t.Fatal(err)
			}
			if all, open := count(t, with.Pool, "true"), count(t, with.Pool, unfinished); all != 60 || open != 0 {
				t.Errorf("%d orders, %d unfinished; want 60 and 0", all, open)
			}
			m := with.Metrics
			if testutil.ToFloat64(m.done) != 1 || testutil.ToFloat64(m.placed) != 60 || testutil.ToFloat64(m.open) != 0 {
				t.Errorf("done %v, placed %v, open %v; want 1, 60, 0",
					testutil.ToFloat64(m.done), testutil.ToFloat64(m.placed), testutil.ToFloat64(m.open))
			}
			var events int64
			if err := with.Pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox`).Scan(&events); err != nil {
				t.Fatal(err)
			}
			if got := testutil.ToFloat64(m.events); got != float64(events) || m.failures() != 0 {
				t.Errorf("counted %v events of %d, %v failures", got, events, m.failures())
			}
		})
	}
}

// The first process ends in the middle. The second finishes its orders, and both together place as many as were wanted.
func TestNextRunFinishesWhatACrashLeftOpen(t *testing.T) {
	t.Parallel()
	url := testenv.Orders(t)
	first, cfg := tools(t, url), flatOut(200)
	foreign := eventlog.Command{Order: uuid.UUID{15: 1}, Do: order.Place{CustomerID: 1, Service: event.Pickup, Lines: []event.Line{
		{ItemID: 1, Name: "Soup", Quantity: 1, UnitPrice: event.Money{Minor: 1, Currency: "EUR"}},
	}}}
	if _, err := first.Log.Execute(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		if err := Run(ctx, cfg, first); err != nil {
			t.Error(err)
		}
	})
	until(t, "40 orders", func() bool { return testutil.ToFloat64(first.Metrics.placed) >= 40 })
	cancel()
	group.Wait()
	if open, done := count(t, first.Pool, unfinished), testutil.ToFloat64(first.Metrics.done); open == 0 || done != 0 {
		t.Fatalf("%d orders were left open, done %v: the first run was not cut off", open, done)
	}

	second := tools(t, url)
	if err := Run(t.Context(), cfg, second); err != nil {
		t.Fatal(err)
	}
	if all, open := count(t, second.Pool, "true"), count(t, second.Pool, unfinished); all != 201 || open != 0 {
		t.Errorf("%d orders, %d unfinished; want 200 and the foreign one, and 0", all, open)
	}
	if o, err := second.Log.Load(t.Context(), foreign.Order); err != nil || o.Version != 1 {
		t.Errorf("the foreign order is at version %d (%v), want 1", o.Version, err)
	}
	if done := testutil.ToFloat64(second.Metrics.done); done != 1 {
		t.Errorf("done %v", done)
	}
}

func TestRunOutlastsTheDatabase_I1(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	with, cfg := tools(t, cluster.Orders()), flatOut(150)
	var group sync.WaitGroup
	group.Go(func() {
		if err := Run(t.Context(), cfg, with); err != nil {
			t.Error(err)
		}
	})
	placed := func(n float64) func() bool {
		return func() bool { return testutil.ToFloat64(with.Metrics.placed) >= n }
	}
	until(t, "20 orders", placed(20))
	cluster.Kill()
	until(t, "a failure", func() bool { return with.Metrics.failures() > 0 })
	cluster.Start()
	until(t, "60 orders", placed(60))
	group.Wait()
	if all, open := count(t, with.Pool, "true"), count(t, with.Pool, unfinished); all != 150 || open != 0 {
		t.Errorf("%d orders, %d unfinished; want 150 and 0", all, open)
	}
	var uneven int
	err := with.Pool.QueryRow(t.Context(), `
		SELECT count(*)
		FROM orders o
		WHERE version <> (SELECT count(*) FROM outbox WHERE aggregateid = o.id)`).Scan(&uneven)
	if err != nil || uneven != 0 {
		t.Errorf("%d orders whose version is not the number of their events (%v)", uneven, err)
	}
}

// The first attempt at the step took effect, and its answer was lost.
func TestStepTakenAgainHasOneEffect_I12(t *testing.T) {
	t.Parallel()
	g := &generator{Config: flatOut(1), Tools: tools(t, testenv.Orders(t))}
	id, p := uuid.New(), invented(1).nth(1)
	p.fate, p.cancelAt, p.tip, p.refund = fine, "", 0, notAsked
	var o order.Order
	for step := p.next(o); step != nil; step = p.next(o) {
		var err error
		if o, err = g.step(t.Context(), id, o, step); err != nil {
			t.Fatal(err)
		}
	}
	tip := order.AddTip{Amount: event.Money{Minor: 100, Currency: o.Total.Currency}}
	for range 2 {
		after, err := g.step(t.Context(), id, o, tip)
		if err != nil {
			t.Fatal(err)
		}
		if after.Tip.Minor != 100 || after.Version != o.Version+1 {
			t.Errorf("a tip of %d at version %d, want 100 at %d", after.Tip.Minor, after.Version, o.Version+1)
		}
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(c *Config){
		"cancel rate":  func(c *Config) { c.CancelRate = 1.5 },
		"failure rate": func(c *Config) { c.FailureRate = math.NaN() },
		"refund rate":  func(c *Config) { c.RefundRate = -1 },
		"rate -1":      func(c *Config) { c.Rate = -1 },
		"orders -1":    func(c *Config) { c.Orders = -1 },
		"writers 0":    func(c *Config) { c.Writers = 0 },
	} {
		cfg := Default()
		change(&cfg)
		if err := Run(t.Context(), cfg, Tools{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// Customers who are erased after the generator has looked around order nothing, others do in their place.
func TestTheGeneratorForgetsWhoWasErased(t *testing.T) {
	t.Parallel()
	with := tools(t, testenv.Orders(t))
	world, err := readWorld(t.Context(), with.Pool, 1)
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{Config: flatOut(0), Tools: with, world: world}
	eager, last := world.customers[:99], world.customers[99]
	for _, id := range eager {
		if _, err := with.Log.Erase(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(3) {
		if err := g.begin(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, with.Pool, "customer_id = "+strconv.Itoa(last)); n != 3 || testutil.ToFloat64(with.Metrics.placed) != 3 || with.Metrics.failures() != 0 {
		t.Errorf("%d orders of the one who is left, want 3", n)
	}
	if _, err := with.Log.Erase(t.Context(), last, nil); err != nil {
		t.Fatal(err)
	}
	if err := g.begin(t.Context(), 4); !errors.Is(err, errEmpty) {
		t.Errorf("with nobody left: %v", err)
	}
	if _, err := readWorld(t.Context(), with.Pool, 1); !errors.Is(err, errEmpty) {
		t.Errorf("looking around: %v", err)
	}
}
