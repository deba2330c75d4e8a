package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
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

// run has a relay publish, does what it is given, and stops the relay when so many events are in the topics.
func (f *anotherOutbox) run(events int64, do ...func()) checkpoint.Record {
	f.t.Helper()
	_, stop := f.start()
	f.await(0)
	for _, d := range do {
		d()
	}
	cp := f.await(events)
	if err := stop(); err != nil {
		f.t.Fatal(err)
	}
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
