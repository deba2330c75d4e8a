package event

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestNewEventSortsByTimeAndKeepsWhatPostgresKeeps(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 5, 22, 0, 123456789, time.FixedZone("", 3600))
	order := uuid.New()
	e, err := New(order, 4, at, OrderReady{})
	if err != nil {
		t.Fatal(err)
	}
	if e.ID.Version() != 7 || e.Order != order || e.Version != 4 || e.Type != TypeOrderReady {
		t.Errorf("got %+v", e)
	}
	if want := time.Date(2026, 11, 23, 4, 22, 0, 123456000, time.UTC); e.At != want {
		t.Errorf("at %v, want %v", e.At, want)
	}
	next, err := New(order, 5, at, OrderReady{})
	if err != nil {
		t.Fatal(err)
	}
	if next.ID.String() <= e.ID.String() {
		t.Errorf("id %s after %s", next.ID, e.ID)
	}
}

func TestUnknownTypeIsAnErrorToBranchOn(t *testing.T) {
	t.Parallel()
	e := Event{Type: "order.teleported.v1", Payload: json.RawMessage("{}")}
	if _, err := e.Data(); !errors.Is(err, ErrUnknownType) {
		t.Errorf("got %v, want ErrUnknownType", err)
	}
}

func TestBrokenPayloadIsAnErrorOfAnotherKind(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "{", `{"stars":"five"}`, "[]"} {
		e := Event{Type: TypeOrderRated, Payload: json.RawMessage(payload)}
		if _, err := e.Data(); err == nil || errors.Is(err, ErrUnknownType) {
			t.Errorf("payload %q: got %v", payload, err)
		}
	}
}

// The key is in the log and in the topic: with another one a customer would have two histories.
func TestACustomersKeyIsForEver(t *testing.T) {
	t.Parallel()
	for id, want := range map[int]string{17: "03b301f4-5270-5b9f-b7a9-f0b0941d4f85", 1_000_000_007: "d22e765a-7177-5dcd-9678-5d46697c9904"} {
		if got := CustomerKey(id).String(); got != want {
			t.Errorf("customer %d: got %s, want %s", id, got, want)
		}
	}
}

// The topic says what an event is about by its type alone.
func TestEachTypeSaysWhatItIsAbout(t *testing.T) {
	t.Parallel()
	for known := range decoders {
		want := AggregateOrder
		if known == TypeCustomerErased {
			want = AggregateCustomer
		}
		if got := known.Aggregate(); got != want {
			t.Errorf("%s: got %s, want %s", known, got, want)
		}
	}
}
