package audit_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
)

// watch is a continuous audit of a world, with its tail.
type watch struct {
	*world

	audit *audit.Continuous
	tail  *status.Tail
}

// watch begins a continuous audit, which has read what the topic holds when it returns.
func (w *world) watch() *watch {
	w.t.Helper()
	c, err := audit.NewContinuous(w.t.Context(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	tail, err := status.NewTail(w.cfg.Brokers, w.cfg.Security, w.cfg.Topic, c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tail.Run(ctx)
	}()
	w.t.Cleanup(func() {
		stop()
		<-ended
		c.Close()
	})
	v := &watch{w, c, tail}
	v.await("the topic to be read", func(audit.Running) bool {
		ready, _ := tail.Ready()
		return ready
	})
	return v
}

// await looks until it is so, and returns what was counted then.
func (v *watch) await(what string, so func(audit.Running) bool) audit.Running {
	v.t.Helper()
	return v.awaitWith(what, so, func(err error) { v.t.Fatal(err) })
}

// awaitThrough is await while something that the audit asks may be away.
func (v *watch) awaitThrough(what string, so func(audit.Running) bool) audit.Running {
	v.t.Helper()
	return v.awaitWith(what, so, func(error) {})
}

func (v *watch) awaitWith(what string, so func(audit.Running) bool, failed func(error)) audit.Running {
	v.t.Helper()
	for began := time.Now(); ; {
		if err := v.audit.Look(v.t.Context(), v.tail); err != nil {
			failed(err)
		}
		r := v.audit.Running()
		if so(r) {
			return r
		}
		if time.Since(began) > time.Minute {
			v.t.Fatalf("waited in vain for %s; counted so far: %+v", what, r)
		}
	}
}

// counts is what Running has of faults.
func counts(r audit.Running) [6]int64 {
	return [...]int64{r.Duplicates, r.Missing, r.Extra, r.OutOfOrder, r.Mismatched, r.Unapplied}
}

func clean(r audit.Running) bool { return counts(r) == [6]int64{} }

// finds waits for findings, which must be as many and the first of them told so.
func (v *watch) finds(want audit.Running, kind audit.Kind, detail string) {
	v.t.Helper()
	sum := func(n [6]int64) (sum int64) {
		for _, i := range n {
			sum += i
		}
		return sum
	}
	r := v.await("findings", func(r audit.Running) bool { return sum(counts(r)) >= sum(counts(want)) })
	if counts(r) != counts(want) {
		v.t.Fatalf("counted %+v, want %+v", r, want)
	}
	if o := r.Findings[0]; o.Kind != kind || !strings.Contains(o.Detail, detail) {
		v.t.Errorf("findings %v, want first one of kind %s that says %q", r.Findings, kind, detail)
	}
}

// seen is what comes of the plants that a continuous audit sees otherwise than Run does: it knows records by their sequence numbers, and
// says of an event that the one before it has not been seen, where Run waits for all.
var seen = map[string]plant{
	"swap":     {want: audit.Counts{OutOfOrder: 1}, kind: audit.OutOfOrder, detail: "comes before version"},
	"key":      {want: audit.Counts{Mismatched: 1, OutOfOrder: 1}, kind: audit.Mismatched, detail: "is not its subject"},
	"sequence": {want: audit.Counts{Mismatched: 1, OutOfOrder: 1}, kind: audit.Mismatched, detail: "outbox_seq is 99999"},
	"extra":    {want: audit.Counts{Duplicates: 1}, kind: audit.Duplicate, detail: "already"},
}

func TestContinuousAuditFindsEachFaultInWhatComes(t *testing.T) {
	t.Parallel()
	for _, p := range plants {
		if p.want.Torn > 0 || p.name == "other partition" { // for Run alone
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.live(8)
			w.publish(w.unpublished())
			v := w.watch()
			w.live(8)
			w.publish(p.change(w, w.unpublished()))
			if other, has := seen[p.name]; has {
				p.want, p.kind, p.detail = other.want, other.kind, other.detail
			}
			v.finds(audit.Running{
				Duplicates: p.want.Duplicates, Extra: p.want.Extra, OutOfOrder: p.want.OutOfOrder, Mismatched: p.want.Mismatched,
			}, p.kind, p.detail)
		})
	}
}

func TestContinuousAuditFindsAnEventThatTheOutboxDoesNotHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.watch()
	w.live(1)
	records := w.unpublished()
	exec(t, w.source, `DELETE FROM outbox WHERE seq = $1`, w.published)
	w.publish(records)
	w.live(1)
	w.publish(w.unpublished()) // committed behind it, and seen
	v.finds(audit.Running{Extra: 1}, audit.Extra, "no row of the outbox")
}

// What was repeated before it began is counted too.
func TestContinuousAuditFindsOldDuplicates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(8)
	records := w.unpublished()
	w.publish(append(records, copies(records[3:4])...))
	w.watch().finds(audit.Running{Duplicates: 1}, audit.Duplicate, "already")
}

func TestContinuousAuditFindsALostEventAndNoneThatIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withSlot()
	w.live(2)
	w.publish(w.unpublished())
	w.live(6)
	records := w.unpublished()
	v := w.watch()
	r := v.await("what waits", func(r audit.Running) bool { return r.Unpublished > 0 })
	if !clean(r) || r.Unpublished != int64(len(records)) || r.Oldest.IsZero() {
		t.Fatalf("counted %+v, want %d that are not published and no fault", r, len(records))
	}
	i := successor(records)
	w.publish(append(append([]*kgo.Record{}, records[:i]...), records[i+1:]...))
	stop := w.acknowledge()
	defer stop()
	v.finds(audit.Running{OutOfOrder: 1, Missing: 1}, audit.OutOfOrder, "comes before version")
}

// A commit that waits for a synchronous standby is in the log, and nobody sees it yet.
func TestContinuousAuditWaitsForARowThatIsNotVisible(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.watch()
	source := w.source
	exec(t, w.orders, "BEGIN")
	w.live(2)
	w.source = w.orders // which sees its own
	records := w.unpublished()
	w.source = source
	w.publish(records)
	n := int64(len(records))
	r := v.await("the topic to be read", func(r audit.Running) bool { return r.Events == n })
	if !clean(r) || r.Compared != 0 {
		t.Fatalf("counted %+v, want nothing compared and no fault", r)
	}
	exec(t, w.orders, "COMMIT")
	if r = v.await("all to be compared", func(r audit.Running) bool { return r.Compared == n }); !clean(r) {
		t.Errorf("counted %+v when all is visible", r)
	}
}

func TestContinuousAuditBeginsAnewWithATopicThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(8)
	records := w.unpublished()
	w.publish(records)
	v := w.watch()
	n := int64(len(records))
	before := v.await("the topic to be read", func(r audit.Running) bool { return r.Events == n })
	if _, err := w.admin.DeleteTopics(t.Context(), w.cfg.Topic); err != nil {
		t.Fatal(err)
	}
	v.awaitTopic(false)
	if _, err := w.admin.CreateTopic(t.Context(), w.partitions, 1, nil, w.cfg.Topic); err != nil {
		t.Fatal(err)
	}
	v.awaitTopic(true)
	w.producer.Close()
	w.producer = w.newProducer()
	w.publish(copies(records))
	r := v.awaitThrough("it to be read anew", func(r audit.Running) bool { return r.Events == n && r.Began.After(before.Began) })
	if !clean(r) {
		t.Errorf("counted %+v", r)
	}
}

// Rows that were never published and are gone, as after a failover to a standby that lacked them, are missed by nobody.
func TestContinuousAuditForgetsRowsThatAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withSlot()
	w.live(2)
	records := w.unpublished()
	w.publish(records)
	w.live(6)
	v := w.watch()
	v.await("what waits", func(r audit.Running) bool { return r.Unpublished > 0 })
	exec(t, w.source, `DELETE FROM outbox WHERE id::text <> ALL ($1)`, idsOf(records))
	w.live(1)
	w.publish(w.unpublished())
	stop := w.acknowledge()
	defer stop()
	if r := v.await("nothing to be waited for", func(r audit.Running) bool { return r.Unpublished == 0 }); !clean(r) {
		t.Errorf("counted %+v", r)
	}
}

func idsOf(records []*kgo.Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, header(r, "ce_id"))
	}
	return ids
}

// awaitTopic waits until the brokers know the topic, or no longer do.
func (v *watch) awaitTopic(there bool) {
	v.t.Helper()
	for began := time.Now(); ; {
		topics, err := v.admin.ListTopics(v.t.Context(), v.cfg.Topic)
		if err != nil {
			v.t.Fatal(err)
		}
		if topics.Has(v.cfg.Topic) == there {
			return
		}
		if time.Since(began) > time.Minute {
			v.t.Fatalf("the topic is there: %v, want %v", !there, there)
		}
	}
}

// A slot that was made anew has passed what is still being loaded out of the table.
func TestContinuousAuditWaitsForALoadThatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withSlot()
	phase := "loading"
	w.save = func(c map[string]any) { c["phase"] = phase }
	w.live(8)
	records := w.unpublished()
	w.publish(records[:10])
	v := w.watch()
	v.await("what waits", func(r audit.Running) bool { return r.Unpublished > 0 }) // there is a cut now
	stop := w.acknowledge()
	for range 10 { // more looks than it takes to judge a cut that the slot has passed
		v.await("the topic to be read", func(audit.Running) bool { return true })
	}
	if r := v.audit.Running(); !clean(r) {
		t.Fatalf("counted %+v while the table is loaded", r)
	}
	stop()
	phase = "streaming"
	w.publish(records[10:20])
	stop = w.acknowledge()
	defer stop()
	v.finds(audit.Running{Missing: int64(len(records) - 20)}, audit.Missing, "is not in the topic")
}

func TestContinuousAuditHoldsTheReadModelAgainstTheTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel()
	v := w.watch()
	w.live(8)
	w.publish(w.unpublished())
	w.project()
	compared := func(r audit.Running) bool { return r.Compared > 0 && r.Compared == r.Events && r.Unpublished == 0 }
	if r := v.await("all to be compared", compared); !clean(r) {
		t.Fatalf("counted %+v of a sound pipeline", r)
	}
	w.live(8)
	w.erase(3)
	w.publish(w.unpublished())
	v.await("all to be compared", compared)
	w.project()
	const newest = `DELETE FROM order_timeline WHERE type = 'customer.erased.v1'`
	exec(t, w.model, newest)
	v.finds(audit.Running{Unapplied: 1}, audit.WrongReadModel, "has no row of it")
	w.project() // restored
	v.await("the row to be back", func(r audit.Running) bool { return clean(r) })
	n := w.park()
	r := v.await("dead letters", func(r audit.Running) bool { return !clean(r) })
	if r.Unapplied != int64(n) || r.Findings[0].Kind != audit.WrongReadModel {
		t.Errorf("not applied %d, %v, want the %d dead letters", r.Unapplied, r.Findings, n)
	}
	w.parked = nil
	w.project() // as redrive does
	v.await("the letters to be gone", func(r audit.Running) bool { return clean(r) })
}
