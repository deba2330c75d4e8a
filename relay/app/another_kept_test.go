package app

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// setupPublished is an outbox of which a relay has published some: rows that are in the table, that are gone from it, and a dead
// letter. What its slot was told is taken back, as Postgres forgets it in a crash, and the checkpoint is lost.
func setupPublished(t *testing.T, properties map[string]string) *anotherOutbox {
	t.Helper()
	f := setupAnother(t, properties, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
	f.topics("order", "dead")
	f.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", f.name) // of a connector that has published nothing
	f.gone(0)
	f.add("order", "o1", 1)
	f.exec(`INSERT INTO outbox VALUES (gen_random_uuid(), 'no such name', 'o1', 'x', '{}')`)
	f.exec(`INSERT INTO outbox VALUES (gen_random_uuid(), 'order', 'o1', 'x', '{"n": 2}'), (gen_random_uuid(), 'order', 'o1', 'x', '{"n": 3}')`)
	f.exec("SELECT pg_copy_logical_replication_slot($1::text, $1::text || '_kept')", f.name)
	if err := f.adopt(false, io.Discard); err != nil {
		t.Fatal(err)
	}
	f.run(int64(len(f.rows()) + 1))
	f.exec("SELECT pg_drop_replication_slot($1)", f.name)
	f.exec("SELECT pg_copy_logical_replication_slot($1::text || '_kept', $1::text)", f.name)
	f.exec("SELECT pg_drop_replication_slot($1::text || '_kept')", f.name)
	f.admin(func(ctx context.Context, a *kadm.Client) error {
		_, err := a.DeleteTopics(ctx, checkpoint.Topic(f.name, f.name))
		return err
	})
	return f
}

// TestRecoverFindsWhatTheSlotWillSendAgain_I3_I4: published events, dead letters too, are not published again, and what is not
// yet is, whichever of table and log has it.
func TestRecoverFindsWhatTheSlotWillSendAgain_I3_I4(t *testing.T) {
	t.Parallel()
	for _, properties := range []map[string]string{
		{"=relay.dead.letter.topic": "NAME.dead"},
		{"=relay.dead.letter.topic": "NAME.dead", "=relay.order.by": "seq"},
		{"=relay.dead.letter.topic": "NAME.dead", "=snapshot.mode": "no_data"},
	} {
		f := setupPublished(t, properties)
		f.gone(4)
		f.add("order", "o1", 5)
		f.config.Reason = "the checkpoint was lost"
		var said strings.Builder
		if err := f.relay().rehearse(t.Context(), &said); err != nil || !strings.Contains(said.String(), "keep slot "+f.name) {
			t.Errorf("the dry run says %q, %v", said.String(), err)
		}
		if err := f.relay().recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.run(7)
		f.orders(6)
		if got := len(f.records("dead")); got != 1 {
			t.Errorf("%d dead letters, want 1", got)
		}
	}
}

// TestRecoverPublishesFromTheTableWhatTheSlotWillNotSend_I3, in its order, before what the slot sends.
func TestRecoverPublishesFromTheTableWhatTheSlotWillNotSend_I3(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.order.by": "seq"}, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
	f.topics("order")
	for n := range 3 {
		f.add("order", "o1", n)
	}
	f.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", f.name)
	f.gone(3)
	f.add("order", "o1", 4)
	f.config.Reason = "there was no relay before"
	if err := f.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.run(5)
	f.orders(5)
}

// Without an order such rows are refused, and the checkpoint that an operator could go on from is still there.
func TestRecoverThatCannotLoadLeavesTheCheckpoint_I7(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order")
	f.run(1, func() { f.add("order", "o1", 0) })
	f.add("order", "o1", 1) // a row that no log will bring
	f.exec("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", f.name)
	f.config.Reason = "test"
	if err := f.relay().recover(t.Context()); !errors.Is(err, backlog.ErrUnordered) {
		t.Errorf("got %v", err)
	}
	f.open = []checkpoint.Gate{checkpoint.GateAck}
	f.run(2, func() { f.add("order", "o1", 2) })
}

// Deleted by age and never published look the same, unless the event is too young to have been deleted.
func TestTopicThatLostItsBeginningHidesWhatWasPublished_I7(t *testing.T) {
	t.Parallel()
	for _, kept := range []string{"-1", "86400000"} {
		f := setupConnector(t, func(n int) bool { return n < 4 })
		f.admin(func(ctx context.Context, a *kadm.Client) error {
			if _, err := a.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &kept}}, f.name+".order", f.name+".customer"); err != nil {
				return err
			}
			ends, err := a.ListEndOffsets(ctx, f.name+".order", f.name+".customer")
			if err != nil {
				return err
			}
			_, err = a.DeleteRecords(ctx, ends.Offsets())
			return err
		})
		err := f.adopt(true, io.Discard)
		if refused := kept == "-1"; (err != nil) != refused {
			t.Errorf("kept for %s ms: %v", kept, err)
		}
	}
}

// A publication that was away has hidden what was written meanwhile from the slot; to begin behind it would be a loss.
func TestSlotIsNotGoneOnWithOverAHoleInItsPublication_I7(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.order.by": "seq"}, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
	f.topics("order")
	f.run(1, func() { f.add("order", "o1", 0) })
	f.exec("DROP PUBLICATION dbz_publication")
	f.add("order", "o1", 1)
	f.exec("CREATE PUBLICATION dbz_publication FOR TABLE outbox WITH (publish = 'insert')")
	f.config.Reason = "test"
	f.refused(f.relay().recover(t.Context()), checkpoint.GatePublication)
	f.free()
	f.exec("SELECT pg_drop_replication_slot($1)", f.name) // as it says
	if err := f.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.run(2)
	f.orders(2)
}
