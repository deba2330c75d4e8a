package audit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// The controls: each plants one fault in a pipeline that is otherwise right, and the audit must find it, name it, and
// find nothing else.

// plant is a fault in the topic. It gets the records of some orders' events, in order, and returns what is published.
type plant struct {
	name   string
	change func(w *world, records []*kgo.Record) []*kgo.Record
	want   audit.Counts
	kind   audit.Kind
	detail string // part of what must be said
}

var plants = []plant{
	{"duplicate", func(_ *world, r []*kgo.Record) []*kgo.Record {
		return append(r, copies(r[3:4])...)
	}, audit.Counts{Duplicates: 1}, audit.Duplicate, "already"},
	{"swap", func(_ *world, r []*kgo.Record) []*kgo.Record {
		i := successor(r)
		r[i], r[i+1] = r[i+1], r[i]
		return r
	}, audit.Counts{OutOfOrder: 1}, audit.OutOfOrder, "comes after version"},
	{"payload", func(_ *world, r []*kgo.Record) []*kgo.Record {
		r[5].Value = append(slices.Clone(r[5].Value), ' ') // the same JSON, and not the same bytes
		return r
	}, audit.Counts{Mismatched: 1}, audit.Mismatched, "payload of"},
	{"type", func(_ *world, r []*kgo.Record) []*kgo.Record {
		return setHeader(r, 5, "ce_type", "order.rated.v1")
	}, audit.Counts{Mismatched: 1}, audit.Mismatched, `type is "order.rated.v1"`},
	{"version", func(_ *world, r []*kgo.Record) []*kgo.Record {
		return setHeader(r, 5, "version", "99")
	}, audit.Counts{Mismatched: 1}, audit.Mismatched, "version is 99"},
	{"sequence", func(_ *world, r []*kgo.Record) []*kgo.Record {
		return setHeader(r, 5, "outbox_seq", "99999")
	}, audit.Counts{Mismatched: 1}, audit.Mismatched, "outbox_seq is 99999"},
	{"own header", func(_ *world, r []*kgo.Record) []*kgo.Record {
		return setHeader(r, 5, "actor", "somebody else")
	}, audit.Counts{Mismatched: 1}, audit.Mismatched, "own headers differ"},
	{"key", func(_ *world, r []*kgo.Record) []*kgo.Record {
		r[5].Key = []byte(uuid.NewString())
		return r
	}, audit.Counts{Mismatched: 1}, audit.Mismatched, "is not its subject"},
	{"no event", func(_ *world, r []*kgo.Record) []*kgo.Record {
		return append(r, &kgo.Record{Topic: r[0].Topic, Value: []byte("hello")})
	}, audit.Counts{Mismatched: 1}, audit.Mismatched, "malformed"},
	{"extra", func(_ *world, r []*kgo.Record) []*kgo.Record {
		r = append(r, copies(r[5:6])...)
		return setHeader(r, len(r)-1, "ce_id", uuid.Must(uuid.NewV7()).String())
	}, audit.Counts{Extra: 1}, audit.Extra, "no row of the outbox"},
	{"other partition", func(w *world, r []*kgo.Record) []*kgo.Record {
		r[successor(r)+1].Partition = w.partitions - 1
		return r
	}, audit.Counts{OutOfOrder: 1}, audit.OutOfOrder, "is in partition"},
	{"torn transaction", func(_ *world, r []*kgo.Record) []*kgo.Record {
		i := slices.IndexFunc(r, func(rec *kgo.Record) bool { return header(rec, "tx_last") == "" })
		return setHeader(r, i, "tx_index", "7")
	}, audit.Counts{Torn: 1}, audit.Torn, "of its events are there"},
	{"endless transaction", func(_ *world, r []*kgo.Record) []*kgo.Record {
		r[5].Headers = slices.DeleteFunc(slices.Clone(r[5].Headers), func(h kgo.RecordHeader) bool { return h.Key == "tx_last" })
		return r
	}, audit.Counts{Torn: 1}, audit.Torn, "none is marked as the last"},
}

// successor returns the place of a record whose order's next version stands behind it, in another source transaction.
func successor(r []*kgo.Record) int {
	return slices.IndexFunc(r, func(rec *kgo.Record) bool {
		i := slices.Index(r, rec)
		return i+1 < len(r) && string(r[i+1].Key) == string(rec.Key) && header(rec, "version") == "1"
	})
}

func header(rec *kgo.Record, name string) string {
	for _, h := range rec.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func setHeader(r []*kgo.Record, i int, name, value string) []*kgo.Record {
	r[i].Headers = slices.Clone(r[i].Headers)
	for h := range r[i].Headers {
		if r[i].Headers[h].Key == name {
			r[i].Headers[h].Value = []byte(value)
		}
	}
	return r
}

func TestFindsEachFaultInTheTopic(t *testing.T) {
	t.Parallel()
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.live(8)
			w.publish(w.unpublished())
			w.live(8)
			w.publish(p.change(w, w.unpublished()))

			r := w.audit()
			if r.Verdict != audit.Violated || r.Findings != 1 || r.Counts != p.want {
				show(t, r)
				t.Fatalf("verdict %s, %d findings, %+v; want violated, 1, %+v", r.Verdict, r.Findings, r.Counts, p.want)
			}
			o := r.Offenders[0]
			if o.Kind != p.kind || o.Partition == nil || o.Offset == nil || !strings.Contains(o.Detail, p.detail) {
				t.Errorf("offender = %s, want a %s with its place that says %q", o, p.kind, p.detail)
			}
		})
	}
}

func TestFindsALostEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withSlot()
	w.live(8)
	records := w.unpublished()
	lost := records[20]
	w.publish(slices.Delete(slices.Clone(records), 20, 21))
	stop := w.acknowledge()
	r := w.audit()
	stop()
	id, _ := topic.ID(lost)
	found := slices.ContainsFunc(r.Offenders, func(o audit.Offender) bool {
		return o.Kind == audit.Missing && o.Event.String() == id && o.Order.String() == string(lost.Key)
	})
	if r.Verdict != audit.Violated || r.Counts.Missing != 1 || !found {
		show(t, r)
		t.Fatalf("verdict %s, missing %d, named %t; want violated, 1, true", r.Verdict, r.Counts.Missing, found)
	}
}

//nolint:tparallel // the subtests share a pipeline: project makes it as good as new, and databases are dear
func TestFindsEachFaultInTheReadModel_I10(t *testing.T) {
	t.Parallel()
	const one = "(SELECT order_id FROM kitchen_board ORDER BY order_id LIMIT 1)"
	faults := []struct{ name, table, sql, detail string }{
		{"summary row", "order_summary", "UPDATE order_summary SET total_minor = total_minor + 1 WHERE order_id = " + one, "total_minor is"},
		{"summary lines", "order_summary", "UPDATE order_summary SET lines = '[]' WHERE order_id = " + one, "lines are not"},
		{"summary version", "order_summary", "UPDATE order_summary SET version = version - 1 WHERE order_id = " + one, "version is"},
		{"summary lost", "order_summary", "DELETE FROM order_summary WHERE order_id = " + one, "missing"},
		{"summary extra", "order_summary", "INSERT INTO order_summary SELECT (json_populate_record(s, json_build_object('order_id', gen_random_uuid()))).* FROM order_summary s LIMIT 1", "accounts for"},
		{"timeline row", "order_timeline", "UPDATE order_timeline SET type = 'order.rated.v1' WHERE version = 2 AND order_id = " + one, "type is"},
		{"timeline lost", "order_timeline", "DELETE FROM order_timeline WHERE version = 2 AND order_id = " + one, "missing"},
		{"timeline extra", "order_timeline", "INSERT INTO order_timeline VALUES (" + one + ", 999, gen_random_uuid(), 'order.rated.v1', now())", "accounts for"},
		{"board row", "kitchen_board", "UPDATE kitchen_board SET since = since + interval '1 s' WHERE order_id = " + one, "since is"},
		{"board lost", "kitchen_board", "DELETE FROM kitchen_board WHERE order_id = " + one, "missing"},
		{"board extra", "kitchen_board", "INSERT INTO kitchen_board SELECT order_id, 'ready', 1, now(), now() FROM order_summary WHERE fulfilment = 'completed' LIMIT 1", "not in the kitchen"},
		{"customer sum", "customer_stats", "UPDATE customer_stats_shard SET spent_minor = spent_minor + 1 WHERE customer_id = 1 AND part = (SELECT min(part) FROM customer_stats_shard WHERE customer_id = 1)", "spent"},
		{"customer's last order", "customer_stats", "UPDATE customer_stats_shard SET last_order_at = last_order_at + interval '1 s' WHERE customer_id = 1", "lastOrder"},
		{"customer lost", "customer_stats", "DELETE FROM customer_stats_shard WHERE customer_id = 1", "missing"},
		{"item sum", "item_popularity", "UPDATE item_popularity_shard SET quantity = quantity + 1 WHERE (hour, item_id, part) = (SELECT hour, item_id, part FROM item_popularity_shard LIMIT 1)", "quantity"},
		{"item lost", "item_popularity", "DELETE FROM item_popularity_shard WHERE (hour, item_id) = (SELECT hour, item_id FROM item_popularity_shard LIMIT 1)", "missing"},
		{"minute sum", "revenue_minute", "UPDATE revenue_minute_shard SET gross_minor = gross_minor + 1 WHERE (minute, part) = (SELECT minute, part FROM revenue_minute_shard LIMIT 1)", "gross"},
		{"minute lost", "revenue_minute", "DELETE FROM revenue_minute_shard WHERE minute = (SELECT min(minute) FROM revenue_minute_shard)", "missing"},
		{"offsets' count", "projection_offsets", "UPDATE projection_offsets SET applied_events = applied_events + 1 WHERE part = 3", "applied_events is 1, must be 0"},
		{"offsets' duplicates", "projection_offsets", "UPDATE projection_offsets SET duplicate_events = 1 WHERE part = 3", "duplicate_events is 1"},
		{"offsets' topic", "projection_offsets", "UPDATE projection_offsets SET topic_id = gen_random_uuid() WHERE part = 3", "topic_id is"},
		{"offset beyond the log", "projection_offsets", "UPDATE projection_offsets SET next_offset = 9 WHERE part = 3", "the log ends at 0"},
	}
	w := newWorld(t).withModel()
	w.live(8)
	w.publish(w.unpublished())
	for _, f := range faults { //nolint:paralleltest // see above
		t.Run(f.name, func(t *testing.T) {
			w.project()
			exec(t, w.model, f.sql)
			r := w.audit()
			onlyOffender(t, r, f.table, f.detail)
			for _, table := range append(r.ReadModel.Tables, r.Orders) {
				if (table.Wrong == 1) != (table.Name == f.table) {
					t.Errorf("%s has %d wrong rows", table.Name, table.Wrong)
				}
			}
		})
	}
}

// A dead letter is a finding, each event of it, and what the read model lacks because of it is none.
func TestFindsEventsThatAreDeadLetters_I9(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel()
	w.live(8)
	w.publish(w.unpublished())
	w.project()
	r := w.audit()
	if r.Verdict != audit.Holds {
		show(t, r)
		t.Fatal("the world is broken before anything was done to it")
	}
	n := w.park()
	r = w.audit()
	if r.Verdict != audit.Violated || r.Findings != int64(n) || r.Counts != (audit.Counts{}) {
		show(t, r)
		t.Fatalf("verdict %s, %d findings, want violated and %d", r.Verdict, r.Findings, n)
	}
	for _, o := range r.Offenders {
		if o.Table != "dead_letters" || !strings.Contains(o.Detail, "not applied: hole, waiting, for a test") {
			t.Errorf("offender %s", o)
		}
	}
}

func TestFindsEachFaultInTheOrdersTable_I1(t *testing.T) {
	t.Parallel()
	faults := []struct{ name, sql, detail string }{
		{"order row", "UPDATE orders SET fulfilment = 'ready' WHERE fulfilment = 'completed'", "fulfilment is"},
		{"order state", `UPDATE orders SET state = jsonb_set(state, '{tip,minor}', '7') WHERE fulfilment = 'completed'`, "state is not"},
		{"order lost", "DELETE FROM orders WHERE fulfilment = 'completed'", "missing"},
		{"order extra", "INSERT INTO orders SELECT gen_random_uuid(), customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at FROM orders WHERE fulfilment = 'completed'", "no event"},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.live(8)
			w.publish(w.unpublished())
			exec(t, w.orders, f.sql)
			onlyOffender(t, w.audit(), "orders", f.detail)
		})
	}
}

// onlyOffender fails unless the report has one finding, in the table.
func onlyOffender(t *testing.T, r audit.Report, table, detail string) {
	t.Helper()
	if r.Verdict != audit.Violated || r.Findings != 1 || r.Counts != (audit.Counts{}) {
		show(t, r)
		t.Fatalf("verdict %s, %d findings, %+v; want violated, 1 and none in the topic", r.Verdict, r.Findings, r.Counts)
	}
	if o := r.Offenders[0]; o.Table != table || !strings.Contains(o.Detail, detail) {
		t.Errorf("offender = %s, want one of %s that says %q", o, table, detail)
	}
}

func TestFindsAnAppliedEventThatTheOffsetDoesNotCover_I8(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel()
	w.live(8)
	w.publish(w.unpublished())
	w.project()
	// As if the offset had been written in a transaction of its own, and lost.
	exec(t, w.model, "UPDATE projection_offsets SET next_offset = next_offset - 1, applied_events = applied_events - 1 "+
		"WHERE part = (SELECT min(part) FROM projection_offsets WHERE next_offset > 0)")
	w.cfg.Timeout = 300 * time.Millisecond
	if r := w.audit(); r.Verdict != audit.Violated {
		show(t, r)
		t.Errorf("verdict = %s, want violated", r.Verdict)
	}
}

func TestFindsEachWrongCheckpoint_I5(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name   string
		save   func(map[string]any)
		detail string
	}{
		{"behind what Postgres was told", func(c map[string]any) { c["position"] = map[string]any{"end_lsn": "0/10"} }, "would be lost"},
		{"ahead of the log", func(c map[string]any) { c["position"] = map[string]any{"end_lsn": "FFFF/0"} }, "log ends at"},
		{"of another server", func(c map[string]any) { c["source"] = map[string]any{"system_id": "1"} }, "of database system 1"},
		{"behind the topic", func(c map[string]any) { c["last_events"] = []string{"", "", "", ""} }, "ends with event"},
		{"names an unknown event", func(c map[string]any) {
			id := uuid.NewString()
			c["last_events"] = []string{id, id, id, id}
		}, "which is not there"},
		{"of fewer partitions", func(c map[string]any) { c["last_events"] = []string{""} }, "of 1 partitions"},
		{"counts other events", func(c map[string]any) { c["events"] = 1 }, "counts 1 events"},
		{"is no JSON", func(c map[string]any) { c["raw"] = "}" }, "is not the JSON"},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).withSlot()
			w.live(8)
			w.save = f.save
			w.publish(w.unpublished())
			r := w.audit()
			if r.Verdict != audit.Violated || r.Findings != 1 || r.Checkpoint.Wrong != 1 {
				show(t, r)
				t.Fatalf("verdict %s, %d findings, %+v; want violated by the checkpoint alone", r.Verdict, r.Findings, r.Checkpoint)
			}
			if o := r.Offenders[0]; o.Kind != audit.WrongCheckpoint || !strings.Contains(o.Detail, f.detail) {
				t.Errorf("offender = %s, want one that says %q", o, f.detail)
			}
		})
	}
}

func TestFindsACheckpointBehindTheTopic_I4(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withSlot()
	w.live(8)
	w.publish(w.unpublished())
	w.live(8)
	more := w.unpublished()
	w.transact(more, kgo.TryCommit) // events without their checkpoint: a start would publish them again
	r := w.audit()
	if r.Verdict != audit.Violated || r.Findings != 1 || r.Checkpoint.Wrong != 1 {
		show(t, r)
		t.Fatalf("verdict %s, %d findings, %+v; want violated by the checkpoint alone", r.Verdict, r.Findings, r.Checkpoint)
	}
}

func TestFindsALostCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live(1)
	w.publish(w.unpublished())
	w.cfg.Slot = testenv.Name(t)
	r := w.audit()
	if r.Verdict != audit.Violated || r.Checkpoint.Wrong != 1 {
		show(t, r)
		t.Errorf("verdict %s, %+v; want violated by the checkpoint", r.Verdict, r.Checkpoint)
	}
}

func TestListsSomeOfEachKindAndCountsAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Offenders = 10
	w.live(8)
	records := w.unpublished()
	records[5].Value = []byte("{}")
	w.publish(append(records, copies(records)...))
	r := w.audit()
	kinds := map[audit.Kind]int{}
	for _, o := range r.Offenders {
		kinds[o.Kind]++
	}
	if r.Counts.Duplicates != int64(len(records)) || r.Findings != int64(len(records))+1 {
		t.Errorf("%d duplicates, %d findings, want %d and one more", r.Counts.Duplicates, r.Findings, len(records))
	}
	if kinds[audit.Duplicate] != 9 || kinds[audit.Mismatched] != 1 {
		t.Errorf("listed %v, want 9 duplicates and 1 mismatch", kinds)
	}
}
