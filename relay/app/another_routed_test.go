package app

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

func TestRowsOfAnotherOutboxAreRoutedToTheirTopics_I3_I4(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order", "customer", "late")
	f.run(10, func() {
		for n := range 5 {
			f.add("order", "o1", n)
			f.add("customer", "c1", n)
			f.exec("DELETE FROM outbox") // as users of Debezium do: what is published is not what the table holds
		}
	})
	for n := range 3 { // while no relay runs; and to a topic that the first one did not know
		f.add("order", "o1", 5+n)
		f.add("late", "l1", n)
	}
	cp := f.run(16)
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
		f.run(int64(n+1), func() { f.add("order", "o1", n) })
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
	f.run(4, func() {
		f.exec(`INSERT INTO outbox VALUES (2, NULL, 'a', 'Streamed', '\x00ff', NULL, '2026-01-01 00:00:02'), (3, 'order', 'a', NULL, '  ', 9, NULL),
			(4, 'order', 'a', 'Gone', NULL, 9, '2026-01-01 00:00:04')`)
	})
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
	f.run(1, func() { f.add("order", "o1", 0) })
	if got := headersOf(f.records("order")[0]); len(got) != 1 || len(got["id"]) != 36 {
		t.Errorf("headers %v, want the id alone", got)
	}
	// The gates find the last event by it.
	f.run(2, func() { f.add("order", "o1", 1) })
}
