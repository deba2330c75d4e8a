package view

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// life is an order with a tip in it.
func life(t *testing.T) (events []Event) {
	t.Helper()
	euro := event.Money{Minor: 100, Currency: "EUR"}
	placed := event.OrderPlaced{
		CustomerID: 1, Service: event.Delivery, Lines: []event.Line{{ItemID: 1, Quantity: 1, UnitPrice: euro}}, Total: euro,
	}
	order := uuid.New()
	for i, data := range []event.Data{placed, event.OrderRated{Stars: 4}, event.TipAdded{Amount: euro}, event.OrderRated{Stars: 5}} {
		e, err := event.New(order, int64(i+1), events0.At, data)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, Event{Event: e, Offset: int64(i), LeaderEpoch: -1, Data: data, Raw: raw(e)})
	}
	return events
}

// What the database cannot hold keeps none of the letters before it.
func TestARedriveGoesUpToTheLetterThatCannotBeStored_I9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := life(t)
	events[1].Err = errBroken
	b.apply(b.claim("one"), events)
	b.want(folded(events[:1]))
	tips := func(n int64) {
		t.Helper()
		if _, err := b.pool.Exec(t.Context(), `UPDATE customer_stats_shard SET tips_minor = $1`, n); err != nil {
			t.Fatal(err)
		}
	}
	tips(1<<63 - 1)
	for range 2 { // the second time the letter is the first of those that wait
		done, err := b.view.Redrive(t.Context(), events[0].Order, reread)
		if err != nil || done.Left != 2 || !Unstorable(done.Why) {
			t.Fatalf("redrive: %+v, %v", done, err)
		}
	}
	tips(0)
	b.want(folded(events[:2]))
	done, err := b.view.Redrive(t.Context(), events[0].Order, reread)
	if want := (Redriven{Applied: 2}); err != nil || done != want {
		t.Fatalf("redrive: %+v, %v", done, err)
	}
	b.want(folded(events))
	b.places(len(events))
}

// What was loaded in an earlier batch is remembered: an order behind a letter has no hole.
func TestALoadedOrderQueuesBehindItsLetter_I9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := life(t)
	for i := range events {
		events[i].Offset -= 100
	}
	events[1].Err = errBroken
	load := func(events ...Event) error {
		tx, err := b.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		loader, err := b.view.Load(t.Context(), tx)
		for i := range events { // each in a batch of its own
			if err == nil {
				err = loader.Apply(t.Context(), 0, events[i:i+1])
			}
		}
		if err != nil {
			return err
		}
		if n, err := loader.Finish(t.Context(), Log{testTopicID, map[int32]Bounds{0: {7, 9}}}); err != nil || n != 1 {
			t.Errorf("%d loaded, %v", n, err)
		}
		return tx.Commit(t.Context())
	}
	if err := load(events[0], events[2]); err == nil {
		t.Error("an order was loaded without its second event")
	}
	if err := load(events...); err != nil {
		t.Fatal(err)
	}
	b.want(folded(events[:1]))
	var reasons []Reason
	for _, l := range b.letters("waiting") {
		reasons = append(reasons, l.Reason)
	}
	if diff := cmp.Diff(reasons, []Reason{Undecodable, Behind, Behind}); diff != "" {
		t.Errorf("letters (-got +want):\n%s", diff)
	}
	if done, err := b.view.Redrive(t.Context(), events[0].Order, reread); err != nil || done.Left != 0 {
		t.Errorf("redrive: %+v, %v", done, err)
	}
	if diff := cmp.Diff(viewtest.Stored(t, b.pool), folded(events)); diff != "" {
		t.Errorf("tables (-got +want):\n%s", diff)
	}
}
