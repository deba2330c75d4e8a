package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

func TestRowsFromBeforeTheSlotNeedAnOrder(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order")
	f.add("order", "o1", 0)
	if err := f.relay().supervise(t.Context(), t.Context()); !errors.Is(err, backlog.ErrUnordered) || !permanent(err) {
		t.Errorf("got %v, want a refusal", err)
	}
	if slot, err := wal.Inspect(t.Context(), f.db, f.name); !errors.Is(err, wal.ErrNoSlot) {
		t.Errorf("a slot was left, which holds back the log: %+v, %v", slot, err)
	}
	f.exec("DELETE FROM outbox")
	f.run(1, func() { f.add("order", "o1", 1) })
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": {1}}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestWithoutASnapshotOnlyWhatComesIsPublished(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=snapshot.mode": "no_data"})
	f.topics("order")
	f.add("order", "o1", 0)
	f.run(1, func() { f.add("order", "o1", 1) })
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": {1}}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

// An event that has no topic stops the relay: what follows it must not overtake it, and to leave it out would be a loss.
func TestEventWithoutATopicIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order")
	ended := f.ending()
	f.await(0)
	f.exec(`INSERT INTO outbox VALUES (gen_random_uuid(), 'order', 'o1', 'x', '{"n":0}'), (gen_random_uuid(), 'nowhere', 'n1', 'x', '{"n":0}'),
		(gen_random_uuid(), 'order', 'o1', 'x', '{"n":1}')`)
	err := <-ended
	if !errors.Is(err, publish.ErrUnusable) || !strings.Contains(err.Error(), f.name+".nowhere does not exist") {
		t.Errorf("got %v", err)
	}
	if got := f.numbers("order"); len(got) != 0 {
		t.Errorf("half of the transaction was published: %v", got)
	}
	f.topics("nowhere")
	f.run(3)
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": {0, 1}}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestChangedRoutedTopicIsRefused_I7(t *testing.T) {
	t.Parallel()
	for gate, change := range map[checkpoint.Gate]func(f *anotherOutbox){
		checkpoint.GateTopic: func(f *anotherOutbox) {
			if _, err := kadm.NewClient(f.kafka).DeleteTopics(t.Context(), f.name+".order"); err != nil {
				t.Fatal(err)
			}
			f.wait("the topic to be gone", func() bool {
				made, err := kadm.NewClient(f.kafka).CreateTopic(t.Context(), 2, 1, nil, f.name+".order")
				return err == nil && made.Err == nil
			})
			testenv.AwaitTopic(t, f.kafka, f.name+".order")
		},
		checkpoint.GateTail: func(f *anotherOutbox) {
			r := &kgo.Record{Topic: f.name + ".order", Value: []byte("{}"), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte("7")}}}
			if err := f.kafka.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		f := setupAnother(t, nil)
		f.topics("order", "customer")
		f.run(2, func() {
			f.add("order", "o1", 0)
			f.add("customer", "c1", 0)
		})
		change(f)
		err := f.relay().supervise(t.Context(), t.Context())
		if f.refused(err, gate); !strings.Contains(err.Error(), f.name+".order") {
			t.Errorf("%v does not name the topic", err)
		}
	}
}

// A lost slot of tables with an order: recover publishes what the topics lack, and nothing again.
func TestRecoverOfAnotherOutbox_I7(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.order.by": "seq"}, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
	f.topics("order", "customer")
	f.run(1, func() { f.add("order", "o1", 0) })
	f.exec("SELECT pg_drop_replication_slot($1)", f.name)
	f.add("order", "o1", 1)
	f.add("customer", "c1", 0)
	f.refused(f.relay().supervise(t.Context(), t.Context()), checkpoint.GateSlot)
	f.config.Reason = "the slot was dropped"
	var said strings.Builder
	if err := f.relay().rehearse(t.Context(), &said); err != nil || !strings.Contains(said.String(), "publish 2 of the 3 events") {
		t.Errorf("the dry run says %q, %v", said.String(), err)
	}
	if err := f.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.run(4, func() { f.add("customer", "c1", 1) })
	for kind, want := range map[string]map[string][]int{"order": {"o1": count(2)}, "customer": {"c1": count(2)}} {
		if diff := cmp.Diff(f.numbers(kind), want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", kind, diff)
		}
	}
}

// What can never be published to its topic goes to the dead letters, in the transaction of the others and once; all else goes on.
func TestWhatCannotBePublishedGoesToTheDeadLetters_I4(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.dead.letter.topic": "NAME.dead", "=relay.order.by": "seq"},
		`CREATE TABLE outbox (id text, aggregatetype text, aggregateid text, type text, payload text, seq bigserial)`,
		`INSERT INTO outbox VALUES ('0', 'no topic has this name', 'a', 'x', 'loaded')`)
	f.topics("order", "dead")
	f.admin(func(ctx context.Context, a *kadm.Client) error {
		_, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr("20000")}}, f.name+".order")
		return err
	})
	r, stop := f.start()
	f.await(1)
	f.exec(`INSERT INTO outbox VALUES ('1', 'order', 'a', 'x', 'first'), ('2', 'order', 'a', 'x', repeat('x', 50000)), ('3', 'order', NULL, 'x', 'no key'),
		('4', NULL, 'a', 'x', 'no kind'), ('6', 'order', 'a', 'x', 'last')`)
	f.await(6)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := testutil.ToFloat64(r.metrics.deadLetters); got != 4 {
		t.Errorf("%v dead letters are counted, want 4", got)
	}
	check := func() {
		t.Helper()
		var alive []string
		for _, r := range f.records("order") {
			alive = append(alive, string(r.Value))
		}
		if diff := cmp.Diff(alive, []string{"first", "last"}); diff != "" {
			t.Errorf("topic (-got +want):\n%s", diff)
		}
		dead := make(map[string]string)
		for _, r := range f.records("dead") {
			h := headersOf(r)
			dead[h["id"]] += fmt.Sprintf("%d bytes for %q", len(r.Value), strings.TrimPrefix(h["dead_letter_topic"], f.name))
			if h["dead_letter_reason"] == "" || (h["commit_lsn"] == "") != (h["id"] == "0") {
				t.Errorf("event %s: %v", h["id"], h)
			}
		}
		want := map[string]string{
			"0": `6 bytes for ".no topic has this name"`, "2": `50000 bytes for ".order"`, "3": `6 bytes for ".order"`, "4": `7 bytes for ""`,
		}
		if diff := cmp.Diff(dead, want); diff != "" {
			t.Errorf("dead letters (-got +want):\n%s", diff)
		}
	}
	check()
	f.exec("SELECT pg_drop_replication_slot($1)", f.name)
	f.config.Reason = "the slot was dropped"
	if err := f.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.run(6)
	check()
	for _, row := range []string{"(NULL, 'order', 'a', 'x', 'no id')", "('7', 'order', 'a', 'x', repeat('x', 2000000))"} { // too large for the dead letters, too
		f.exec("INSERT INTO outbox VALUES " + row)
		if err := f.relay().supervise(t.Context(), t.Context()); !errors.Is(err, topic.ErrUnpublishable) && !errors.Is(err, publish.ErrTooLarge) {
			t.Errorf("%.40s: %v", row, err)
		}
		f.free()
		f.exec("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", f.name)
		f.open, f.config.Reason = []checkpoint.Gate{checkpoint.GateAck}, "the row is left out"
	}
}

// Without a topic for them, nothing is passed over.
func TestWhatCannotBePublishedHaltsTheRelay(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil, `CREATE TABLE outbox (id text, aggregatetype text, aggregateid text, type text, payload text)`)
	f.topics("order")
	f.run(0)
	f.exec("INSERT INTO outbox VALUES ('1', 'order', NULL, 'x', 'no key')")
	for range 2 {
		err := f.relay().supervise(t.Context(), t.Context())
		if !errors.Is(err, topic.ErrUnpublishable) || !permanent(err) || !strings.Contains(err.Error(), "aggregateid") {
			t.Errorf("got %v", err)
		}
	}
}
