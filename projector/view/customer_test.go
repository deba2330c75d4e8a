package view

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// erasure is the event that a customer was erased, as it is read at an offset.
func erasure(t *testing.T, key uuid.UUID, version, offset int64) Event {
	t.Helper()
	data := event.CustomerErased{CustomerID: 17}
	e, err := event.New(key, version, events0.At, data)
	if err != nil {
		t.Fatal(err)
	}
	return Event{Event: e, Offset: offset, LeaderEpoch: -1, Data: data, Raw: raw(e)}
}

func TestAnErasureIsInTheTimelineAndNowhereElse_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := life(t)
	erased := erasure(t, event.CustomerKey(17), 1, int64(len(events)))
	again := erased
	again.Offset++
	all := append(events, erased)
	b.apply(b.claim("one"), all)
	b.want(folded(all))
	// Delivered again, also to another owner, it is known.
	if done := b.apply(b.claim("two"), []Event{again}); done.Events != 0 || done.Duplicates != 1 || len(done.Parked) != 0 {
		t.Errorf("again: %+v, want a duplicate", done)
	}
	b.want(folded(all))
	if next, applied, duplicates := b.counts(); next != again.Offset+1 || applied != int64(len(all)) || duplicates != 1 {
		t.Errorf("next offset %d, %d applied, %d duplicates", next, applied, duplicates)
	}
}

// An older projector did not know the type.
func TestAnErasureThatWasParkedIsRedriven_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := life(t)
	erased := erasure(t, event.CustomerKey(17), 1, int64(len(events)))
	unknown := erased
	unknown.Data, unknown.Err = nil, fmt.Errorf("%w %q", event.ErrUnknownType, erased.Type)
	p := b.claim("one")
	b.apply(p, append(events, unknown))
	b.want(folded(events))
	for _, want := range []Redriven{{Applied: 1}, {}} {
		if done, err := b.view.Redrive(t.Context(), event.CustomerKey(17), reread); err != nil || done != want {
			t.Fatalf("redrive: %+v, %v; want %+v", done, err, want)
		}
	}
	b.want(folded(append(events, erased)))
	b.places(len(events) + 1)
	if letters := b.letters("redriven"); len(letters) != 1 {
		t.Errorf("letters that are redriven: %v", letters)
	}
	again := unknown // and once more to the one who does not know it
	again.Offset++
	b.apply(p, []Event{again})
	if done, err := b.view.Redrive(t.Context(), event.CustomerKey(17), reread); err != nil || done != (Redriven{Duplicates: 1}) {
		t.Errorf("redrive: %+v, %v; want a duplicate", done, err)
	}
	b.want(folded(append(events, erased)))
}

// No writer of ours does this: an order's id is drawn, and a customer's key is not of that kind.
func TestAKeyOfAnOrderAndACustomerIsParked_I9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := life(t)
	n := int64(len(events))
	key := event.CustomerKey(17)
	mixed := []Event{erasure(t, events[0].Order, n+1, n), erasure(t, key, 1, n+1)}
	rated := events[1]
	rated.Order, rated.Version, rated.Offset = key, 2, n+2
	p := b.claim("one")
	done := b.apply(p, append(append(events, mixed...), rated))
	if len(done.Parked) != 2 || done.Parked[0].Reason != Rule || done.Parked[1].Reason != Rule {
		t.Errorf("parked: %v", done.Parked)
	}
	rated.Offset++
	if done := b.apply(p, []Event{rated}); len(done.Parked) != 1 { // in another batch the customer is not known
		t.Errorf("parked: %v", done.Parked)
	}
	b.want(folded(append(events, mixed[1])))
}
