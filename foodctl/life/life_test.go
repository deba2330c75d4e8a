package life_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

func TestALifeSaysOfEachEventHowFarItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(4)
	applied := w.publish(events[:2], kgo.TryCommit)
	w.apply(events[:2], applied)
	w.publish(events[2:3], kgo.TryAbort)
	waiting := w.publish(events[2:3], kgo.TryCommit)
	w.publish(events[3:], kgo.TryAbort)

	l := w.read(id)
	if l.Version != 4 || l.ReadModel != 2 || l.Customer != 7 || l.Fulfilment != "confirmed" || l.Payment != "authorized" ||
		l.Blocked != "" || len(l.Trouble) != 0 || len(l.Events) != 4 {
		t.Fatalf("%+v", l)
	}
	for i, record := range append(applied, waiting...) {
		e := l.Events[i]
		if !e.Found || e.Partition != record.Partition || e.Offset != record.Offset || e.Commit != commit ||
			!e.Committed.Equal(events[i].At.Add(3*time.Millisecond).Truncate(time.Millisecond)) || e.TraceID != trace || e.Seq != int64(i+1) ||
			e.ID != events[i].ID || string(e.Payload) != string(events[i].Payload) {
			t.Errorf("event %d: %+v, want its record at %d@%d", i+1, e, record.Partition, record.Offset)
		}
	}
	if e := l.Events[1]; !e.Applied || e.AppliedAt != applied[1].Offset || e.Index != 1 || !e.Last {
		t.Errorf("applied: %+v", e)
	}
	if e := l.Events[2]; e.Applied || e.AppliedAt != -1 {
		t.Errorf("published and not applied: %+v", e)
	}
	if e := l.Events[3]; e.Applied || e.Found || e.Offset != -1 || e.Partition != applied[0].Partition || !e.Committed.IsZero() {
		t.Errorf("written, its record aborted: %+v", e)
	}
	if l.Complete() {
		t.Error("it is said to be complete")
	}
	for _, want := range []string{
		"of customer 7: confirmed, payment authorized", "+3ms", "1/AB0[1]", life.Place(waiting[0].Partition, waiting[0].Offset),
		"4 events written, 2 of them in the read model.", "1 event in the topic, not yet applied", "1 event not yet in the topic",
	} {
		if got := text(t, l); !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

func TestALifeIsCompleteWhenAllOfItIsInTheReadModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(3)
	w.apply(events, w.publish(events, kgo.TryCommit))
	l := w.read(id)
	if got := text(t, l); !l.Complete() || !strings.Contains(got, "3 events: all in the read model.") {
		t.Errorf("complete %t\n%s", l.Complete(), got)
	}
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"order_id", "read_model_version", "commit_lsn", "tx_index", "tx_last", "record_found", "applied_offset", "trace_id"} {
		if !strings.Contains(string(b), `"`+name+`":`) {
			t.Errorf("no %s in %s", name, b)
		}
	}
}

func TestWhatNobodyKnowsIsUnknown(t *testing.T) {
	t.Parallel()
	if _, err := newWorld(t).reader.Read(t.Context(), uuid.New()); !errors.Is(err, life.ErrUnknown) {
		t.Errorf("got %v, want %v", err, life.ErrUnknown)
	}
}

func TestABlockedOrderSaysWhyAndWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(3)
	records := w.publish(events, kgo.TryCommit)
	w.apply(events[:1], records)
	for i, reason := range []string{"rule", "behind"} {
		w.exec(w.readModel, `INSERT INTO dead_letters (topic, part, record_offset, order_id, version, reason, error, headers, recorded_at)
			VALUES ($1, $2, $3, $4, $5, $6, 'for a test', '[]', now())`, w.cfg.Topic, records[i+1].Partition, records[i+1].Offset, id, i+2, reason)
		w.position(records[i+1].Partition, records[i+1].Offset+1)
	}
	l := w.read(id)
	if e := l.Events[2]; l.Blocked != "rule" || !e.Found || e.Applied || e.Offset != records[2].Offset || l.Complete() {
		t.Errorf("blocked %q, %+v", l.Blocked, e)
	}
	if got := text(t, l); !strings.Contains(got, "Blocked (rule)") || strings.Count(got, "parked") != 2 {
		t.Error(got)
	}
}

func TestARecordThatIsNoLongerThereIsNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(2)
	records := w.publish(events, kgo.TryCommit)
	w.apply(events, records)
	w.remake()
	if l := w.read(id); l.Events[0].Found || !l.Events[0].Applied || l.Events[0].Offset != records[0].Offset || !l.Complete() {
		t.Errorf("%+v", l)
	}
	_, others := w.write(1)
	others[0].Order = id // the key, and so the partition
	w.publish(others, kgo.TryCommit)
	if l := w.read(id); l.Events[0].Found {
		t.Errorf("another event's record was taken: %+v", l.Events[0])
	}
}

func TestAPlaceThatDoesNotAnswerIsNamedAndTheOthersAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(2)
	w.apply(events, w.publish(events, kgo.TryCommit))

	broker, model, orders := w.cfg, w.cfg, w.cfg
	broker.Brokers = []string{"127.0.0.1:1"}
	model.ReadModelURL = "postgres://127.0.0.1:1/readmodel"
	orders.OrdersURL = "postgres://127.0.0.1:1/orders"
	for name, r := range map[string]*life.Reader{"topic": w.open(broker), "the read model": w.open(model)} {
		l, err := r.Read(t.Context(), id)
		if err != nil || len(l.Trouble) != 1 || !strings.HasPrefix(l.Trouble[0], name) || strings.Contains(l.Trouble[0], "\n") || len(l.Events) != 2 {
			t.Errorf("without %s: %v, %+v", name, err, l)
		}
		if got := text(t, l); !strings.Contains(got, "Not known: "+name) {
			t.Error(got)
		}
	}
	if _, err := w.open(orders).Read(t.Context(), id); err == nil || errors.Is(err, life.ErrUnknown) || !strings.Contains(err.Error(), "orders database") {
		t.Errorf("without the orders database: %v", err)
	}
}

func TestWhatOnlyTheReadModelHasIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(2)
	w.apply(events, w.publish(events, kgo.TryCommit))
	w.exec(w.orders, "DELETE FROM outbox WHERE aggregateid = $1 AND version = 2", id)
	w.exec(w.orders, "UPDATE orders SET version = 1 WHERE id = $1", id)
	l := w.read(id)
	if got := text(t, l); l.Complete() || len(l.Events) != 2 || l.Events[1].Seq != 0 || !l.Events[1].Found ||
		!strings.Contains(got, "applied, and not in the outbox") || !strings.Contains(got, "1 event not in the outbox") {
		t.Errorf("%+v\n%s", l, got)
	}
}

func TestAVersionOfWhichTheReadModelHasAnotherEventIsNotApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(2)
	w.apply(events, w.publish(events, kgo.TryCommit))
	other := uuid.Must(uuid.NewV7())
	w.exec(w.readModel, "UPDATE order_timeline SET event_id = $2 WHERE order_id = $1 AND version = 2", id, other)
	l := w.read(id)
	if e := l.Events[1]; l.Complete() || len(l.Events) != 2 || e.Applied || e.ID != events[1].ID || e.Other != other || !e.Found {
		t.Errorf("complete %t, %+v", l.Complete(), e)
	}
	if e := l.Events[0]; !e.Applied || e.Other != uuid.Nil {
		t.Errorf("the one before: %+v", e)
	}
	got := text(t, l)
	for _, want := range []string{"another event", "Version 2 is event " + events[1].ID.String() + " in the outbox, and event " + other.String()} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "not yet in the topic") || strings.Contains(got, "not yet applied") {
		t.Errorf("it is said to be on its way:\n%s", got)
	}
}

func TestAnOrderWithoutARowSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, events := w.write(1)
	w.apply(events, w.publish(events, kgo.TryCommit))
	w.exec(w.orders, "DELETE FROM outbox WHERE aggregateid = $1", id)
	w.exec(w.orders, "DELETE FROM orders WHERE id = $1", id)
	if got := text(t, w.read(id)); !strings.Contains(got, "the orders table does not have it, and yet there are events of it") {
		t.Error(got)
	}
}

func TestLivesAreReadAtOnceByMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ids []uuid.UUID
	for range 5 {
		id, events := w.write(8)
		w.apply(events, w.publish(events, kgo.TryCommit))
		ids = append(ids, id)
	}
	var g errgroup.Group
	for i := range 40 {
		g.Go(func() error {
			l, err := w.reader.Read(t.Context(), ids[i%len(ids)])
			if err == nil && (!l.Complete() || !l.Events[7].Found) {
				err = fmt.Errorf("%+v", l)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAnErasedCustomerHasALifeOfOneEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e, err := event.New(event.CustomerKey(17), 1, time.Now(), event.CustomerErased{CustomerID: 17})
	if err != nil {
		t.Fatal(err)
	}
	events := []event.Event{e}
	b := &pgx.Batch{}
	if _, err := outbox.Queue(b, events); err != nil {
		t.Fatal(err)
	}
	if err := w.orders.SendBatch(t.Context(), b).Close(); err != nil {
		t.Fatal(err)
	}
	if l := w.read(e.Order); l.Complete() || !strings.Contains(text(t, l), "not yet in the topic") {
		t.Errorf("before it is published:\n%s", text(t, l))
	}
	w.apply(events, w.publish(events, kgo.TryCommit))
	w.exec(w.readModel, "DELETE FROM order_summary") // which the projector does not write of it
	if l := w.read(e.Order); !l.Complete() || !strings.Contains(text(t, l), "customer 17, key "+e.Order.String()+": erased, topic") {
		t.Errorf("complete %t\n%s", l.Complete(), text(t, l))
	}
}
