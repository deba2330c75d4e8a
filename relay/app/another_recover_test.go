package app

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// gone inserts an event of the order o1 and takes its row out in the same transaction, as users of Debezium do: the log alone has it.
func (f *anotherOutbox) gone(n int) {
	f.t.Helper()
	tx, err := f.db.Begin(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	f.add("order", "o1", n) // on the same connection
	f.exec("DELETE FROM outbox WHERE payload ->> 'n' = $1::int::text", n)
	if err := tx.Commit(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// orders checks that the topic has events 0 to n-1 of the key o1, once and in order.
func (f *anotherOutbox) orders(n int) {
	f.t.Helper()
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": count(n)}); diff != "" {
		f.t.Errorf("-got +want:\n%s", diff)
	}
}

// TestRecoverKeepsASlotWhoseLogIsTheOnlyCopy_I7, when the checkpoint is lost, with rows in the table and without.
func TestRecoverKeepsASlotWhoseLogIsTheOnlyCopy_I7(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"", "seq"} {
		f := setupAnother(t, map[string]string{"=relay.order.by": order}, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
		f.topics("order")
		_, stop := f.start()
		f.await(0)
		f.gone(0)
		f.add("order", "o1", 1)
		f.await(2)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		f.exec("DELETE FROM outbox")
		f.gone(2)
		if order != "" {
			f.add("order", "o1", 3) // the slot will send it, so recover must not take it out of the table
		} else {
			f.gone(3)
		}
		f.admin(func(ctx context.Context, a *kadm.Client) error {
			_, err := a.DeleteTopics(ctx, checkpoint.Topic(f.name, f.name))
			return err
		})
		f.refused(f.relay().supervise(t.Context(), t.Context()), checkpoint.GateCheckpoint)
		f.config.Reason = "the checkpoint was lost"
		if err := f.relay().recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, stop = f.start()
		f.gone(4)
		f.await(5)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		f.orders(5)
	}
}

// TestLoadThatBrokeOffKeepsItsSlot_I3: what was committed since the slot was made is in its log alone.
func TestLoadThatBrokeOffKeepsItsSlot_I3(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.order.by": "seq"}, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
	f.topics("order")
	f.add("order", "o1", 0)
	_, stop := f.start()
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	err := f.relay().session(t.Context(), func(ctx context.Context, s *session) error {
		return errors.Join(s.fence(ctx), s.announce(ctx, "")) // as one leaves it that dies then
	})
	if err != nil {
		t.Fatal(err)
	}
	before, err := wal.Inspect(t.Context(), f.db, f.name)
	if err != nil {
		t.Fatal(err)
	}
	f.gone(1)
	f.add("order", "o1", 2)
	_, stop = f.start()
	f.await(3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.orders(3)
	if after, err := wal.Inspect(t.Context(), f.db, f.name); err != nil || after.Confirmed <= before.Confirmed {
		t.Errorf("the slot was at %s and is at %s, %v", before.Confirmed, after.Confirmed, err)
	}
}

// Topics that are not ours keep records for a while. A partition that has lost all of them is no other topic.
func TestTopicWhoseRecordsWereDeletedIsGoneOnWith_I7(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order")
	_, stop := f.start()
	f.await(0)
	f.gone(0)
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.admin(func(ctx context.Context, a *kadm.Client) error {
		ends, err := a.ListEndOffsets(ctx, f.name+".order")
		if err != nil {
			return err
		}
		_, err = a.DeleteRecords(ctx, ends.Offsets())
		return err
	})
	_, stop = f.start()
	f.gone(1)
	f.await(2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": {1}}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

// A topic that nobody wants any more closes its gate; opened, the checkpoint forgets it.
func TestTopicThatWasDeletedIsLeftOutByTheOperator_I7(t *testing.T) {
	t.Parallel()
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
	f.admin(func(ctx context.Context, a *kadm.Client) error {
		_, err := a.DeleteTopics(ctx, f.name+".customer")
		return err
	})
	f.wait("the topic to be gone", func() bool {
		list, err := kadm.NewClient(f.kafka).ListTopics(t.Context(), f.name+".customer")
		return err == nil && list[f.name+".customer"].Err != nil
	})
	f.refused(f.relay().supervise(t.Context(), t.Context()), checkpoint.GateTopic)
	f.open, f.config.Reason = []checkpoint.Gate{checkpoint.GateTopic, checkpoint.GateTail}, "customers are gone"
	_, stop = f.start()
	f.add("order", "o1", 1)
	f.await(3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.open, f.config.Reason = nil, ""
	_, stop = f.start()
	f.add("order", "o1", 2)
	if cp := f.await(4); len(cp.Topics) != 1 {
		t.Errorf("the checkpoint still names %v", cp.Topics)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.orders(3)
}

// TestFixedTopicBesideDeadLetters_I3 over many sessions: which of two topics is the events' must not be a matter of luck.
func TestFixedTopicBesideDeadLetters_I3(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.dead.letter.topic": "NAME.dead", "route.topic.replacement": "NAME.order"})
	f.topics("order", "dead")
	for n := range 6 {
		_, stop := f.start()
		f.await(int64(n))
		f.add("whatever", "o1", n)
		f.await(int64(n + 1))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		f.exec("DELETE FROM outbox")
	}
	f.orders(6)
	if got := f.records("dead"); len(got) != 0 {
		t.Errorf("%d dead letters", len(got))
	}
}

// A description that does not fit the table ends the program: to try again is not to look. It has made no slot by then.
func TestDescriptionThatDoesNotFitEndsTheRelay(t *testing.T) {
	t.Parallel()
	for property, value := range map[string]string{"=relay.order.by": "nothing", "table.field.event.payload": "nothing"} {
		f := setupAnother(t, map[string]string{"=relay.order.by": "id", property: value})
		f.topics("order")
		f.add("order", "o1", 0)
		err := f.relay().supervise(t.Context(), t.Context())
		if !permanent(err) || !errors.Is(err, layout.ErrTable) {
			t.Errorf("%s=%s: %v", property, value, err)
		}
		if _, err := wal.Inspect(t.Context(), f.db, f.name); !errors.Is(err, wal.ErrNoSlot) {
			t.Errorf("%s=%s: a slot was made: %v", property, value, err)
		}
	}
}

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
	_, stop := f.start()
	f.await(int64(len(f.rows()) + 1))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
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
		_, stop := f.start()
		f.await(7)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
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
	_, stop := f.start()
	f.await(5)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.orders(5)
}

// Without an order such rows are refused, and the checkpoint that an operator could go on from is still there.
func TestRecoverThatCannotLoadLeavesTheCheckpoint_I7(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order")
	_, stop := f.start()
	f.await(0)
	f.add("order", "o1", 0)
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.exec("ALTER PUBLICATION dbz_publication SET (publish = '')") // a row that no log will bring
	f.add("order", "o1", 1)
	f.exec("ALTER PUBLICATION dbz_publication SET (publish = 'insert')")
	f.config.Reason = "test"
	if err := f.relay().recover(t.Context()); !errors.Is(err, backlog.ErrUnordered) {
		t.Errorf("got %v", err)
	}
	_, stop = f.start()
	f.add("order", "o1", 2)
	f.await(2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
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
	_, stop := f.start()
	f.await(0)
	f.add("order", "o1", 0)
	f.await(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
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
	_, stop = f.start()
	f.await(2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.orders(2)
}
