package consumer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

func TestAHoleStopsItsPartitionAloneAndLoudly_I9(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	events := viewtest.History(10, 30, 600)
	lost := 300
	for events[lost].Version < 2 || last(events, lost) {
		lost++
	}
	holed := append(append([]viewtest.Event{}, events[:lost]...), events[lost+1:]...)
	r.publish(holed, 20)
	p := r.start(1)
	if got := p.stopped(); !strings.Contains(got, "a version is missing") {
		t.Errorf("health: %s", got)
	}
	if got := testutil.ToFloat64(p.metrics.holes); got != 1 {
		t.Errorf("holes %v, want 1", got)
	}
	part := r.number(`SELECT count(*) FROM projection_offsets`) // all three are claimed
	if part != 3 {
		t.Errorf("%d partitions claimed", part)
	}
	r.until("the other partitions are caught up", func() bool { return p.caughtUp() == 2 })

	version := r.number(`SELECT version FROM order_summary WHERE order_id = $1`, events[lost].Order)
	if version != events[lost].Version-1 {
		t.Errorf("the order with the hole is at v%d, want v%d", version, events[lost].Version-1)
	}
}

// last reports whether there is no later event of the same order.
func last(events []viewtest.Event, i int) bool {
	for _, e := range events[i+1:] {
		if e.Order == events[i].Order {
			return false
		}
	}
	return true
}

// caughtUp is how many partitions of this process have lag 0, and are measured.
func (p *process) caughtUp() (n int) {
	if testutil.CollectAndCount(p.metrics.lagEvents) < 3 {
		return 0
	}
	for _, part := range []string{"0", "1", "2"} {
		if testutil.ToFloat64(p.metrics.lagEvents.WithLabelValues(part)) == 0 {
			n++
		}
	}
	return n
}

func TestARecordThatCannotBeReadStopsItsPartitionBeforeIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		damage func(*kgo.Record)
		want   string
	}{
		"foreign record": {func(r *kgo.Record) { r.Headers = nil }, "malformed record"},
		"unknown type":   {func(r *kgo.Record) { header(r, "ce_type", "order.teleported.v1") }, "unknown event type"},
		"broken payload": {func(r *kgo.Record) { r.Value = []byte(`["no object"]`) }, "decode"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, 1)
			events := viewtest.History(11, 5, 60)
			damaged := r.Record(events[40])
			tt.damage(damaged)
			r.publish(events[:40], 200)
			if err := r.Transaction(kgo.TryCommit, damaged); err != nil {
				t.Fatal(err)
			}
			r.publish(events[41:], 200)
			p := r.start(1)
			if got := p.stopped(); !strings.Contains(got, tt.want) {
				t.Errorf("health: %s, want %q in it", got, tt.want)
			}
			r.arrived(events[:40])
			if got := testutil.ToFloat64(p.metrics.stopped.WithLabelValues("0")); got != 1 {
				t.Errorf("projector_partition_stopped %v", got)
			}
		})
	}
}

func header(r *kgo.Record, key, value string) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			r.Headers[i].Value = []byte(value)
		}
	}
}

func TestATopicMadeAnewIsRefused_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	events := viewtest.History(12, 5, 60)
	r.publish(events, 30)
	p := r.start(1)
	r.arrived(events)
	p.stop()

	admin := kadm.NewClient(r.Client)
	if _, err := admin.DeleteTopics(t.Context(), r.topic); err != nil {
		t.Fatal(err)
	}
	r.until("the topic is made anew", func() bool {
		made, err := admin.CreateTopic(t.Context(), 1, 1, nil, r.topic)
		return err == nil && made.Err == nil
	})
	if got := r.start(1).stopped(); !strings.Contains(got, "deleted and made again") {
		t.Errorf("health: %s", got)
	}
	r.arrived(events)
}

func TestDeletedRecordsAreRefused_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	r.publish(viewtest.History(13, 5, 60), 30)
	admin := kadm.NewClient(r.Client)
	upto := make(kadm.Offsets)
	upto.AddOffset(r.topic, 0, 10, -1)
	if _, err := admin.DeleteRecords(t.Context(), upto); err != nil {
		t.Fatal(err)
	}
	if got := r.start(1).stopped(); !strings.Contains(got, "no position") {
		t.Errorf("health: %s", got)
	}
	r.arrived(nil)
}

// TestAFencedMemberLeavesAndJoinsAgain_I8 takes the partition away in the database alone: the group still assigns it
// to a member that is fenced.
func TestAFencedMemberLeavesAndJoinsAgain_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	events := viewtest.History(14, 5, 80)
	p := r.start(1)
	r.publish(events[:40], 20)
	r.until("the first half applied", func() bool { return r.applied() == 40 })
	if _, err := r.pool.Exec(t.Context(), `UPDATE projection_offsets SET owner_epoch = owner_epoch + 1, claim = $1`, uuid.New()); err != nil {
		t.Fatal(err)
	}
	r.publish(events[40:], 20)
	r.arrived(events)
	if got := testutil.ToFloat64(p.metrics.fenced); got != 1 {
		t.Errorf("fenced batches %v, want 1", got)
	}
}

func TestAStuckPartitionDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	p := r.start(1, func(c *Config) { c.MaxBatch = 10 })
	r.until("all claimed", func() bool { return p.assigned() == 3 })
	tx, err := r.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	if _, err := tx.Exec(t.Context(), `SET idle_in_transaction_session_timeout = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM projection_offsets WHERE part = 0 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	events := viewtest.History(15, 60, 1500)
	r.publish(events, 100)
	r.until("the others are caught up", func() bool { return p.caughtUp() == 2 })
	r.until("it is said what is waited for", func() bool { return p.health.Ready() != nil })
	if n := r.number(`SELECT next_offset FROM projection_offsets WHERE part = 0`); n != 0 {
		t.Errorf("partition 0 is at %d", n)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.arrived(events)
	r.until("ready again", func() bool { return p.health.Ready() == nil })
}

func TestADatabaseThatIsKilledIsWaitedFor_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	cluster := testenv.NewCluster(t)
	r.url = cluster.ReadModel()
	pool, err := pgxpool.New(t.Context(), r.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	r.pool = pool
	events := viewtest.History(16, 40, 2000)
	published := make(chan error, 1)
	go func() { published <- r.Send(events, 50) }()
	p := r.start(2)
	for i := range 3 {
		r.until("progress", func() bool { return r.tryApplied() > int64(300*i) })
		cluster.Kill()
		r.until("it is not ready", func() bool { return p.health.Ready() != nil })
		cluster.Start()
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	r.until("the database answers", func() bool { return r.tryApplied() >= 0 })
	r.arrived(events)
	if got := testutil.ToFloat64(p.metrics.duplicates); got != 0 {
		t.Errorf("duplicates %v", got)
	}
}

// tryApplied is -1 while the database is away.
func (r *rig) tryApplied() (n int64) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if err := r.pool.QueryRow(ctx, `SELECT coalesce(sum(applied_events), 0)::bigint FROM projection_offsets`).Scan(&n); err != nil {
		return -1
	}
	return n
}

func TestRemediesNameWhatToDo(t *testing.T) {
	t.Parallel()
	for _, err := range []error{event.ErrUnknownType, errUndecodable, context.Canceled} {
		if remedy(err) == "" {
			t.Errorf("no remedy for %v", err)
		}
	}
}
