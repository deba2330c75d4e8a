package consumer

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

func TestAHoleParksItsOrderAloneAndLoudly_I9(t *testing.T) {
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
	r.until("all partitions are caught up", func() bool { return p.caughtUp() == 3 })
	r.tables(slices.DeleteFunc(holed, func(e viewtest.Event) bool {
		return e.Order == events[lost].Order && e.Version > events[lost].Version
	}))
	if got := testutil.ToFloat64(p.metrics.letters.WithLabelValues("hole")); got != 1 {
		t.Errorf("projector_dead_letters_total{reason=hole} %v, want 1", got)
	}
	r.until("the order is seen to be blocked", func() bool { return testutil.CollectAndCount(p.metrics.blocked) == 3 && blocked(p) == 1 })
	if err := p.health.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}

	r.publish(events[lost:lost+1], 1)
	r.until("the event that was missing is applied", func() bool { return p.caughtUp() == 3 })
	v := view.New(r.pool, r.topic, 100)
	if done, err := v.Redrive(t.Context(), events[lost].Order, Decode); err != nil || done.Left != 0 || done.Applied == 0 {
		t.Fatalf("redrive: %+v, %v", done, err)
	}
	r.arrived(events)
	r.until("no order is blocked", func() bool { return blocked(p) == 0 })
}

// blocked is how many orders the process's gauges show as blocked.
func blocked(p *process) (n float64) {
	for _, part := range []string{"0", "1", "2"} {
		n += testutil.ToFloat64(p.metrics.blocked.WithLabelValues(part))
	}
	return n
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

func TestARecordThatCannotBeReadIsParked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		damage func(*kgo.Record)
		reason view.Reason
		want   string
	}{
		"foreign record": {func(r *kgo.Record) { r.Headers = nil }, view.Undecodable, "malformed record"},
		"unknown type":   {func(r *kgo.Record) { header(r, "ce_type", "order.teleported.v1") }, view.UnknownType, "unknown event type"},
		"broken payload": {func(r *kgo.Record) { r.Value = []byte(`["no object"]`) }, view.Undecodable, "decode"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, 1)
			events := viewtest.History(11, 5, 60)
			bad := 40
			for last(events, bad) || events[bad].Version == 1 {
				bad++
			}
			damaged := r.Record(events[bad])
			tt.damage(damaged)
			r.publish(events[:bad], 200)
			if err := r.Transaction(kgo.TryCommit, damaged); err != nil {
				t.Fatal(err)
			}
			r.publish(events[bad+1:], 200)
			p := r.start(1)
			r.until("a letter", func() bool { return testutil.CollectAndCount(p.metrics.letters) > 0 })
			v := view.New(r.pool, r.topic, 100)
			letters, err := v.Letters(t.Context(), view.Which{Order: events[bad].Order})
			if err != nil || len(letters) == 0 || letters[0].Reason != tt.reason || !strings.Contains(letters[0].Error, tt.want) {
				t.Errorf("letters %+v, %v: want %s with %q", letters, err, tt.reason, tt.want)
			}
			if p.health.Ready() != nil {
				t.Errorf("not ready: %v", p.health.Ready())
			}
		})
	}
}

// Of a batch with one event that the database cannot take, that event alone is parked.
func TestASumThatOverflowsParksItsEventAlone(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	events := viewtest.History(11, 5, 60)
	r.publish(events, 200)
	p := r.start(1)
	r.arrived(events)
	if _, err := r.pool.Exec(t.Context(), `UPDATE customer_stats_shard SET tips_minor = 9223372036854775807`); err != nil {
		t.Fatal(err)
	}
	tip := r.Record(events[59])
	header(tip, "ce_type", string(event.TypeTipAdded))
	header(tip, "version", strconv.FormatInt(events[59].Version+1, 10))
	tip.Value = []byte(`{"amount":{"minor":1,"currency":"` + r.currency(events[59].Order) + `"}}`)
	more := viewtest.History(17, 9, 40)
	more = slices.DeleteFunc(more, func(e viewtest.Event) bool { return e.Data.Type() != event.TypeOrderPlaced })
	var records []*kgo.Record
	for _, e := range more {
		records = append(records, r.Record(e))
	}
	junk := r.Record(events[0]) // first in its batch, and a letter already when the batch turns out not to fit
	junk.Value = []byte("{")
	if err := r.Transaction(kgo.TryCommit, append([]*kgo.Record{junk}, slices.Insert(records, 2, tip)...)...); err != nil {
		t.Fatal(err)
	}
	r.until("the others are applied", func() bool { return r.applied() == int64(len(events)+len(more)) })
	for _, reason := range []view.Reason{view.Rule, view.Undecodable} {
		if got := testutil.ToFloat64(p.metrics.letters.WithLabelValues(string(reason))); got != 1 {
			t.Errorf("%v letters, %s", got, reason)
		}
	}
	if testutil.CollectAndCount(p.metrics.letters) != 2 {
		t.Error("there are letters for other reasons")
	}
}

func (r *rig) currency(order uuid.UUID) (currency string) {
	r.Helper()
	if err := r.pool.QueryRow(r.Context(), `SELECT currency FROM order_summary WHERE order_id = $1`, order).Scan(&currency); err != nil {
		r.Fatal(err)
	}
	return currency
}

func TestTooManyLettersStopThePartition(t *testing.T) {
	t.Parallel()
	r := setup(t, 1)
	events := viewtest.History(11, 5, 60)
	r.publish(events[:40], 200)
	damaged := r.Record(events[40])
	header(damaged, "ce_type", "order.teleported.v1")
	if err := r.Transaction(kgo.TryCommit, damaged); err != nil {
		t.Fatal(err)
	}
	r.maxBlocked = 0
	p := r.start(1)
	if got := p.stopped(); !strings.Contains(got, "too many orders have dead letters, 0") || !strings.Contains(got, "order.teleported.v1") {
		t.Errorf("health: %s", got)
	}
	r.arrived(events[:40])
	if got := testutil.ToFloat64(p.metrics.stopped.WithLabelValues("0")); got != 1 {
		t.Errorf("projector_partition_stopped %v", got)
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
	for word, err := range map[string]error{
		"projector letters list": view.ErrTooManyBlocked, "see the error": view.ErrTopic, "foodctl migrate": &pgconn.PgError{Code: "42501"},
		"restart the projector": context.Canceled,
	} {
		if got := remedy(err); !strings.Contains(got, word) {
			t.Errorf("%v: %q does not say %q", err, got, word)
		}
	}
	for reason, word := range map[view.Reason]string{
		view.Undecodable: "discard", view.UnknownType: "install that version", view.Hole: "foodctl verify", view.Behind: "letter before it",
		view.Rule: "contradicts",
	} {
		if got := remedyOf(reason); !strings.Contains(got, word) {
			t.Errorf("%s: %q does not say %q", reason, got, word)
		}
	}
}
