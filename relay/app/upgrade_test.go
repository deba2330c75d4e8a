package app

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/uuid"

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

// The two relays of a rolling upgrade read each other's checkpoints: what was written by format 1 is gone on from, and is
// written in it.
func TestCheckpointOfFormat1IsGoneOnFrom(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, stop := s.start()
	s.write(3, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var was struct {
		Format int `json:"format"`
		Target struct {
			ClusterID  string `json:"cluster_id"`
			Topic      string `json:"topic"`
			TopicID    string `json:"topic_id"`
			Partitions int    `json:"partitions"`
		} `json:"target"`
		LastEvents []string `json:"last_events"`
	}
	partitions, _, err := tail.Open(t.Context(), s.kafka, checkpoint.Topic(s.config.Topic, s.config.Slot))
	if err != nil {
		t.Fatal(err)
	}
	record, err := partitions[0].Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	value := record.Value
	if err := json.Unmarshal(value, &was); err != nil {
		t.Fatal(err)
	}
	if was.Format != 1 || was.Target.Topic != s.config.Topic || was.Target.Partitions != 3 || len(was.LastEvents) != 3 || was.Target.TopicID == "" {
		t.Errorf("an older relay could not read %s", value)
	}
	_, stop = s.start()
	s.write(3, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
