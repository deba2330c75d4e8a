package app

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

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
		f.run(2, func() {
			f.gone(0)
			f.add("order", "o1", 1)
		})
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
		f.run(5, func() { f.gone(4) })
		f.orders(5)
	}
}

// TestLoadThatBrokeOffKeepsItsSlot_I3: what was committed since the slot was made is in its log alone.
func TestLoadThatBrokeOffKeepsItsSlot_I3(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.order.by": "seq"}, debeziumTable, "ALTER TABLE outbox ADD COLUMN seq bigserial")
	f.topics("order")
	f.add("order", "o1", 0)
	f.run(1)
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
	f.run(3)
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
	f.run(1, func() { f.gone(0) })
	f.admin(func(ctx context.Context, a *kadm.Client) error {
		ends, err := a.ListEndOffsets(ctx, f.name+".order")
		if err != nil {
			return err
		}
		_, err = a.DeleteRecords(ctx, ends.Offsets())
		return err
	})
	f.run(2, func() { f.gone(1) })
	if diff := cmp.Diff(f.numbers("order"), map[string][]int{"o1": {1}}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

// A topic that nobody wants any more closes its gate; opened, the checkpoint forgets it.
func TestTopicThatWasDeletedIsLeftOutByTheOperator_I7(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	f.topics("order", "customer")
	f.run(2, func() {
		f.add("order", "o1", 0)
		f.add("customer", "c1", 0)
	})
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
	f.run(3, func() { f.add("order", "o1", 1) })
	f.open, f.config.Reason = nil, ""
	if cp := f.run(4, func() { f.add("order", "o1", 2) }); len(cp.Topics) != 1 {
		t.Errorf("the checkpoint still names %v", cp.Topics)
	}
	f.orders(3)
}

// TestFixedTopicBesideDeadLetters_I3 over many sessions: which of two topics is the events' must not be a matter of luck.
func TestFixedTopicBesideDeadLetters_I3(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.dead.letter.topic": "NAME.dead", "route.topic.replacement": "NAME.order"})
	f.topics("order", "dead")
	for n := range 6 {
		f.run(int64(n+1), func() { f.add("whatever", "o1", n) })
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
