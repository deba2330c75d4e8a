package consumer

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// rig is a topic, a read model and a producer of events.
type rig struct {
	testing.TB
	*viewtest.Producer

	brokers string
	topic   string
	group   string
	url     string // the read model's
	pool    *pgxpool.Pool

	maxBlocked int
}

func setup(t testing.TB, partitions int32) *rig {
	t.Helper()
	brokers := testenv.Broker(t)
	r := &rig{TB: t, brokers: brokers, topic: testenv.Topic(t, brokers, partitions), group: testenv.Name(t), url: testenv.ReadModel(t), maxBlocked: 100}
	r.pool = r.connect(8)
	r.Producer = viewtest.NewProducer(t, brokers, r.topic)
	return r
}

func (r *rig) connect(conns int32) *pgxpool.Pool {
	r.Helper()
	pool, err := view.Connect(r.Context(), r.url, conns, nil)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(pool.Close)
	return pool
}

func (r *rig) publish(events []viewtest.Event, size int) {
	r.Helper()
	if err := r.Send(events, size); err != nil {
		r.Fatal(err)
	}
}

// process is a running Consumer, as one process would have it.
type process struct {
	*rig

	metrics *Metrics
	health  *ops.Health
	stop    func() // drains, and waits until it has ended
}

func (r *rig) start(members int, change ...func(*Config)) *process {
	r.Helper()
	cfg := Config{
		Brokers: strings.Split(r.brokers, ","), Topic: r.topic, Group: r.group, Members: members, Owner: testenv.Name(r),
		SessionTimeout: 6 * time.Second, MaxBatch: 50,
	}
	for _, c := range change {
		c(&cfg)
	}
	p := &process{rig: r, metrics: NewMetrics(prometheus.NewRegistry()), health: ops.NewHealth(Parts...)}
	log := slog.New(slog.NewTextHandler(r.Output(), nil))
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	c := New(cfg, view.New(r.connect(8), r.topic, r.maxBlocked), log, p.metrics, p.health)
	go func() { done <- c.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.Errorf("run: %v", err)
		}
	})
	r.Cleanup(p.stop)
	return p
}

// until waits for a state that nothing announces.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	for !holds() {
		if ops.Sleep(ctx, 20*time.Millisecond) != nil {
			r.Fatalf("did not happen in time: %s", what)
		}
	}
}

// number reads one number from the read model.
func (r *rig) number(query string, args ...any) (n int64) {
	r.Helper()
	if err := r.pool.QueryRow(r.Context(), query, args...).Scan(&n); err != nil {
		r.Fatalf("%s: %v", query, err)
	}
	return n
}

func (r *rig) applied() int64 {
	r.Helper()
	return r.number(`SELECT coalesce(sum(applied_events), 0)::bigint FROM projection_offsets`)
}

// arrived waits until all events have been applied, and fails unless the tables are what these events make.
func (r *rig) arrived(events []viewtest.Event) {
	r.Helper()
	r.until("all events applied", func() bool { return r.applied() >= int64(len(events)) })
	viewtest.Equal(r, r.pool, events)
}

// tables fails the test unless the read model is what these events make.
func (r *rig) tables(events []viewtest.Event) {
	r.Helper()
	if diff := cmp.Diff(viewtest.Stored(r, r.pool), viewtest.Folded(events)); diff != "" {
		r.Errorf("tables (-got +want):\n%s", diff)
	}
}

// assigned is how many partitions the process consumes.
func (p *process) assigned() int { return int(testutil.ToFloat64(p.metrics.assigned)) }
