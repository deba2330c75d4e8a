package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// anotherOutbox is a database with the outbox table of Debezium's documentation, and a connector for it whose name all of its topics
// begin with.
type anotherOutbox struct {
	*system

	name string
}

const debeziumTable = `
CREATE TABLE outbox (
    id            uuid         NOT NULL PRIMARY KEY,
    aggregatetype varchar(255) NOT NULL,
    aggregateid   varchar(255) NOT NULL,
    type          varchar(255) NOT NULL,
    payload       jsonb
)`

// setupAnother makes them. The properties are the router's, or with an = in front the connector's.
func setupAnother(t *testing.T, properties map[string]string, statements ...string) *anotherOutbox {
	t.Helper()
	url := testenv.Empty(t)
	f := &anotherOutbox{system: setupOn(t, url, testenv.Broker(t)), name: testenv.Name(t)}
	if len(statements) == 0 {
		statements = []string{debeziumTable}
	}
	for _, s := range append(statements, "CREATE PUBLICATION dbz_publication FOR TABLE outbox WITH (publish = 'insert')") {
		f.exec(s)
	}
	config := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": f.name, "slot.name": f.name,
		"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.storage.StringConverter",
		"plugin.name": "pgoutput", "table.include.list": "public.outbox", "transforms": "outbox",
		"transforms.outbox.type":                    "io.debezium.transforms.outbox.EventRouter",
		"transforms.outbox.route.topic.replacement": f.name + ".${routedByValue}",
	}
	for name, value := range properties {
		if connectors, is := strings.CutPrefix(name, "="); is {
			config[connectors] = strings.ReplaceAll(value, "NAME", f.name)
		} else {
			config["transforms.outbox."+name] = strings.ReplaceAll(value, "NAME", f.name)
		}
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	f.config.Outbox = filepath.Join(t.TempDir(), "connector.json")
	if err := os.WriteFile(f.config.Outbox, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f.config.Topic, f.config.Slot = f.name, f.name // as the relay will have it
	return f
}

// topics makes topics, called after the values that route to them.
func (f *anotherOutbox) topics(values ...string) {
	f.t.Helper()
	for _, v := range values {
		if _, err := kadm.NewClient(f.kafka).CreateTopic(f.t.Context(), 2, 1, nil, f.name+"."+v); err != nil {
			f.t.Fatal(err)
		}
		testenv.AwaitTopic(f.t, f.kafka, f.name+"."+v)
	}
}

// records are the committed ones of a topic, in the order of offsets of each partition.
func (f *anotherOutbox) records(value string) (all []*kgo.Record) {
	f.t.Helper()
	partitions, _, err := tail.Open(f.t.Context(), f.kafka, f.name+"."+value)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, p := range partitions {
		if err := p.Scan(f.t.Context(), p.Start, func(r *kgo.Record) error { all = append(all, r); return nil }); err != nil {
			f.t.Fatal(err)
		}
	}
	return all
}

// await waits until so many events are in the topics by the checkpoint's count.
func (f *anotherOutbox) await(events int64) checkpoint.Record {
	f.t.Helper()
	var cp checkpoint.Record
	f.wait(fmt.Sprintf("%d events", events), func() bool {
		var found bool
		var err error
		cp, found, err = checkpoint.Peek(f.t.Context(), f.kafka, checkpoint.Topic(f.name, f.name))
		return err == nil && found && cp.Phase == checkpoint.Streaming && cp.Events >= events
	})
	return cp
}

// add inserts an event of a key in a transaction of its own.
func (f *anotherOutbox) add(kind, key string, n int) {
	f.t.Helper()
	f.exec(`INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload)
		VALUES (gen_random_uuid(), $1, $2, 'Changed', jsonb_build_object('n', $3::int))`, kind, key, n)
}

// free waits until no relay holds the slot.
func (f *anotherOutbox) free() {
	f.t.Helper()
	f.wait("the slot to be free", func() bool {
		slot, err := wal.Inspect(f.t.Context(), f.db, f.name)
		return err == nil && !slot.Active
	})
}

// numbers are the n of the payloads by key, in the order in which they are in the topic.
func (f *anotherOutbox) numbers(kind string) map[string][]int {
	f.t.Helper()
	all := make(map[string][]int)
	for _, r := range f.records(kind) {
		var payload struct{ N int }
		if err := json.Unmarshal(r.Value, &payload); err != nil {
			f.t.Fatal(err)
		}
		all[string(r.Key)] = append(all[string(r.Key)], payload.N)
	}
	return all
}

func headersOf(r *kgo.Record) map[string]string {
	all := make(map[string]string)
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

func count(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestRowsOfAnotherOutboxAreRoutedToTheirTopics_I3_I4(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order", "customer", "late")
	_, stop := f.start()
	f.await(0)
	for n := range 5 {
		f.add("order", "o1", n)
		f.add("customer", "c1", n)
		f.exec("DELETE FROM outbox") // as users of Debezium do: what is published is not what the table holds
	}
	f.await(10)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for n := range 3 { // while no relay runs; and to a topic that the first one did not know
		f.add("order", "o1", 5+n)
		f.add("late", "l1", n)
	}
	_, stop = f.start()
	cp := f.await(16)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]map[string][]int{
		"order": {"o1": count(8)}, "customer": {"c1": count(5)}, "late": {"l1": count(3)},
	} {
		if diff := cmp.Diff(f.numbers(kind), want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", kind, diff)
		}
	}
	names := []string{f.name + ".customer", f.name + ".late", f.name + ".order"}
	if got := slices.Sorted(maps.Keys(cp.Topics)); !slices.Equal(got, names) || cp.Format != checkpoint.FormatRouted {
		t.Errorf("the checkpoint, of format %d, names %v, want %v", cp.Format, got, names)
	}
}

// What is in a topic when the relay finds it, in partitions too that it does not write to, is what the topic ended in.
func TestTopicWithOthersEventsIsGoneOnFrom_I7(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order")
	for partition := range int32(2) {
		r := &kgo.Record{Topic: f.name + ".order", Partition: partition, Value: []byte(`{"n": 0}`), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte("other")}}}
		client, err := kgo.NewClient(kgo.SeedBrokers(f.config.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		err = client.ProduceSync(t.Context(), r).FirstErr()
		client.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2 {
		_, stop := f.start()
		f.await(int64(n))
		f.add("order", "o1", n)
		f.await(int64(n + 1))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(f.numbers("order")["o1"], count(2)); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestRecordIsDebeziumsAndACloudEvent(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{
		"table.fields.additional.placement": "type:header:eventType,tenant:header", "table.field.event.timestamp": "at",
		"route.tombstone.on.empty.payload": "true", "route.topic.replacement": "NAME.all", "=relay.order.by": "at",
		"=value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
	}, `CREATE TABLE outbox (id bigint, aggregatetype text, aggregateid text NOT NULL, type text, payload bytea, tenant int, at timestamp)`,
		`INSERT INTO outbox VALUES (1, 'order', 'a', 'Loaded', 'first', 7, '2026-01-01 00:00:01.5')`)
	f.topics("all")
	_, stop := f.start()
	f.await(1)
	f.exec(`INSERT INTO outbox VALUES (2, NULL, 'a', 'Streamed', '\x00ff', NULL, '2026-01-01 00:00:02'), (3, 'order', 'a', NULL, '  ', 9, NULL),
		(4, 'order', 'a', 'Gone', NULL, 9, '2026-01-01 00:00:04')`)
	f.await(4)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	records := f.records("all")
	if len(records) != 4 {
		t.Fatalf("%d records, want 4", len(records))
	}
	var values []string
	for _, r := range records {
		values = append(values, fmt.Sprintf("%s %q %v", r.Key, r.Value, r.Value == nil))
	}
	if diff := cmp.Diff(values, []string{`a "first" false`, `a "\x00\xff" false`, `a "  " false`, `a "" true`}); diff != "" {
		t.Errorf("values (-got +want):\n%s", diff)
	}
	for i, want := range []string{"2026-01-01 00:00:01.5 +0000 UTC", "2026-01-01 00:00:02 +0000 UTC", "", "2026-01-01 00:00:04 +0000 UTC"} {
		if got := records[i].Timestamp.UTC(); want != "" && got.String() != want || want == "" && time.Since(got) > time.Hour {
			t.Errorf("record %d is of %s, want %s", i, got, want)
		}
	}
	loaded := map[string]string{
		"id": "1", "eventType": "Loaded", "tenant": "7", "ce_specversion": "1.0", "ce_id": "1", "ce_source": "/orders", "ce_type": "Loaded",
		"ce_subject": "a", "ce_time": "2026-01-01T00:00:01.5Z", "content-type": "application/octet-stream",
	}
	if diff := cmp.Diff(headersOf(records[0]), loaded); diff != "" {
		t.Errorf("headers of a row from the table (-got +want):\n%s", diff)
	}
	streamed := headersOf(records[1])
	if streamed["tx_index"] != "0" || streamed["commit_lsn"] == "" || headersOf(records[3])["tx_last"] != "true" {
		t.Errorf("headers of a row from the log: %v", streamed)
	}
	for _, h := range records[1].Headers {
		if h.Key == "tenant" && h.Value != nil {
			t.Errorf("tenant is %q, want null", h.Value)
		}
	}
}

func TestPlainHeadersAreDebeziumsAlone(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.headers": "plain"})
	f.topics("order")
	_, stop := f.start()
	f.await(0)
	f.add("order", "o1", 0)
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := headersOf(f.records("order")[0]); len(got) != 1 || len(got["id"]) != 36 {
		t.Errorf("headers %v, want the id alone", got)
	}
	// The gates find the last event by it.
	_, stop = f.start()
	f.add("order", "o1", 1)
	f.await(2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

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
	_, stop := f.start()
	f.await(0)
	f.add("order", "o1", 1)
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": {1}}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestWithoutASnapshotOnlyWhatComesIsPublished(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=snapshot.mode": "no_data"})
	f.topics("order")
	f.add("order", "o1", 0)
	_, stop := f.start()
	f.await(0)
	f.add("order", "o1", 1)
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": {1}}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

// An event that has no topic stops the relay: what follows it must not overtake it, and to leave it out would be a loss.
func TestEventWithoutATopicIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order")
	_, stop := f.start()
	f.await(0)
	f.exec(`INSERT INTO outbox VALUES (gen_random_uuid(), 'order', 'o1', 'x', '{"n":0}'), (gen_random_uuid(), 'nowhere', 'n1', 'x', '{"n":0}'),
		(gen_random_uuid(), 'order', 'o1', 'x', '{"n":1}')`)
	f.free()
	err := stop()
	if !errors.Is(err, publish.ErrUnusable) || !strings.Contains(err.Error(), f.name+".nowhere does not exist") {
		t.Errorf("got %v", err)
	}
	if got := f.numbers("order"); len(got) != 0 {
		t.Errorf("half of the transaction was published: %v", got)
	}
	f.topics("nowhere")
	_, stop = f.start()
	f.await(3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
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
		_, stop := f.start()
		f.await(0)
		f.add("order", "o1", 0)
		f.add("customer", "c1", 0)
		f.await(2)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
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
	_, stop := f.start()
	f.await(0)
	f.add("order", "o1", 0)
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
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
	_, stop = f.start()
	f.add("customer", "c1", 1)
	f.await(4)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
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
	_, stop = f.start()
	f.await(6)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
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
	_, stop := f.start()
	f.await(0)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.exec("INSERT INTO outbox VALUES ('1', 'order', NULL, 'x', 'no key')")
	for range 2 {
		err := f.relay().supervise(t.Context(), t.Context())
		if !errors.Is(err, topic.ErrUnpublishable) || !permanent(err) || !strings.Contains(err.Error(), "aggregateid") {
			t.Errorf("got %v", err)
		}
	}
}
