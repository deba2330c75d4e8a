package consumer

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// rig is a topic, a read model and a producer of events.
type rig struct {
	testing.TB

	brokers  string
	topic    string
	group    string
	url      string // the read model's
	pool     *pgxpool.Pool
	producer *kgo.Client
}

func setup(t testing.TB, partitions int32) *rig {
	t.Helper()
	brokers := testenv.Broker(t)
	r := &rig{TB: t, brokers: brokers, topic: testenv.Topic(t, brokers, partitions), group: testenv.Name(t), url: testenv.ReadModel(t)}
	r.pool = r.connect(8)
	producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.TransactionalID(testenv.Name(t)),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	r.producer = producer
	return r
}

func (r *rig) connect(conns int32) *pgxpool.Pool {
	r.Helper()
	pool, err := view.Connect(r.Context(), r.url, conns)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(pool.Close)
	return pool
}

// record shapes an event as the relay does.
func (r *rig) record(e viewtest.Event) *kgo.Record {
	row := outbox.Row{
		Seq: []byte("1"), ID: []byte(e.ID.String()), AggregateID: []byte(e.Order.String()), Type: []byte(e.Type),
		Version: strconv.AppendInt(nil, e.Version, 10), Payload: e.Payload,
		OccurredAt: []byte(e.At.Format("2006-01-02 15:04:05.999999+00")),
	}
	record, err := topic.Record(r.topic, row, topic.Source{Name: "/orders", Committed: time.Now()})
	if err != nil {
		panic(err) // a bug of the test's
	}
	return record
}

// publish sends the events in transactions of size events. After a small one an aborted one with the first of its events
// follows: a reader that saw it would count twice.
func (r *rig) publish(events []viewtest.Event, size int) {
	r.Helper()
	if err := r.send(events, size); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) send(events []viewtest.Event, size int) error {
	for len(events) > 0 {
		n := min(size, len(events))
		records := make([]*kgo.Record, n)
		for i, e := range events[:n] {
			records[i] = r.record(e)
		}
		if err := r.transaction(kgo.TryCommit, records...); err != nil {
			return err
		}
		if size < 100 {
			if err := r.transaction(kgo.TryAbort, r.record(events[0])); err != nil {
				return err
			}
		}
		events = events[n:]
	}
	return nil
}

func (r *rig) transaction(end kgo.TransactionEndTry, records ...*kgo.Record) error {
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	if err := r.producer.BeginTransaction(); err != nil {
		return err
	}
	if err := r.producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	return r.producer.EndTransaction(ctx, end)
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
	go func() { done <- New(cfg, view.New(r.connect(8), r.topic), log, p.metrics, p.health).Run(ctx) }()
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
		if !sleep(ctx, 20*time.Millisecond) {
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
	if n := r.applied(); n != int64(len(events)) {
		r.Errorf("%d events applied, want %d", n, len(events))
	}
	if n := r.number(`SELECT coalesce(sum(duplicate_events), 0)::bigint FROM projection_offsets`); n != 0 {
		r.Errorf("%d duplicates", n)
	}
	if diff := cmp.Diff(viewtest.Stored(r, r.pool), viewtest.Folded(events)); diff != "" {
		r.Errorf("tables (-got +want):\n%s", diff)
	}
}

// assigned is how many partitions the process consumes.
func (p *process) assigned() int { return int(testutil.ToFloat64(p.metrics.assigned)) }
