package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

// The way to more partitions, as the runbook has it: a new topic, filled from the outbox by recover. A relay that was forgotten,
// and still has the old topic, must not publish from the slot that is the new one's.
func TestEventsMoveToATopicOfMorePartitions_I7(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, stop := s.start()
	order := uuid.New()
	s.tx(s.db, s.events(order, 1, 3))
	s.write(20, 2)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.tx(s.db, s.events(order, 4, 2)) // while no relay runs
	forgotten := s.config.Topic
	s.config.Topic, s.config.Reason = testenv.Topic(t, s.config.Brokers[0], 7), "more partitions"
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, stop = s.start()
	s.tx(s.db, s.events(order, 6, 1))
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.config.Topic, s.config.Reason = forgotten, ""
	s.refused(s.relay().supervise(t.Context(), t.Context()), checkpoint.GateAck)
}

// The way to another major version of Postgres, as the runbook has it: all that a dump, pg_upgrade or logical replication keeps
// are the tables. The new server is another history, which the relay refuses; recover publishes what the topic lacks.
func TestDatabaseMovesToAnotherMajorVersion_I7(t *testing.T) {
	t.Parallel()
	old, next := testenv.ClusterOf(t, "17"), testenv.ClusterOf(t, "18")
	s := setupOn(t, old.Orders(), testenv.Broker(t))
	_, stop := s.start()
	s.write(20, 2)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	order := uuid.New()
	s.tx(s.db, s.events(order, 1, 2)) // while no relay runs
	var table bytes.Buffer
	if _, err := s.db.PgConn().CopyTo(t.Context(), &table, "COPY outbox TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	s.config.DatabaseURL = next.Orders()
	s.db = s.connect()
	if _, err := s.db.PgConn().CopyFrom(t.Context(), &table, "COPY outbox FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	s.exec("SELECT setval(pg_get_serial_sequence('outbox', 'seq'), (SELECT max(seq) FROM outbox))") // as pg_dump does
	if err := s.relay().supervise(t.Context(), t.Context()); err == nil || !permanent(err) {
		t.Errorf("got %v, want a refusal: the slot was left behind", err)
	}
	s.config.Reason = "Postgres 18"
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, stop = s.start()
	s.tx(s.db, s.events(order, 3, 1))
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A checkpoint that a relay of the first release wrote is gone on from, and what is written then can be read by one, which may
// stand by while the relays are replaced one by one.
func TestCheckpointOfTheFirstReleaseIsGoneOnFrom_I7(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, stop := s.start()
	s.write(3, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	cp := s.checkpoint()
	topic := cp.Topics[s.config.Topic]
	last, err := json.Marshal(topic.Last)
	if err != nil {
		t.Fatal(err)
	}
	first := fmt.Sprintf(`{"format":1,"phase":"streaming","slot":%q,"source":{"system_id":%q,"timeline":%d,"publication":%q},`+
		`"target":{"cluster_id":%q,"topic":%q,"topic_id":%q,"partitions":3},"position":{"end_lsn":%q},"last_events":%s,"events":%d,`+
		`"written_at":"2026-11-23T04:22:00Z"}`, cp.Slot, cp.Source.SystemID, cp.Source.Timeline, cp.Source.Publication,
		cp.Cluster, s.config.Topic, topic.ID, cp.At.End, last, cp.Events)
	name := checkpoint.Topic(s.config.Topic, s.config.Slot)
	if err := s.kafka.ProduceSync(t.Context(), &kgo.Record{Topic: name, Key: []byte(cp.Slot), Value: []byte(first)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	_, stop = s.start()
	s.write(3, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	partitions, _, err := tail.Open(t.Context(), s.kafka, name)
	if err != nil {
		t.Fatal(err)
	}
	record, err := partitions[0].Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fields := func(value string) []string {
		var all map[string]json.RawMessage
		if err := json.Unmarshal([]byte(value), &all); err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(all))
	}
	if got, want := fields(string(record.Value)), fields(first); !slices.Equal(got, want) {
		t.Errorf("the checkpoint has the fields %v, the first release's %v", got, want)
	}
}
