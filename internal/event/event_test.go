package event

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// one of each type, with every field set, so that a field whose JSON name is wrong or shared is seen.
var one = func() []Data {
	item := 7
	price := Money{Minor: 1250, Currency: "EUR"}
	lines := []Line{{ItemID: 7, Name: "Ramen", Quantity: 2, UnitPrice: price}}
	return []Data{
		OrderPlaced{CustomerID: 3, Service: Delivery, Lines: lines, Total: Money{2500, "EUR"}},
		PaymentAuthorized{Amount: price},
		PaymentFailed{Reason: "declined"},
		PaymentCaptured{Amount: price},
		PaymentVoided{},
		OrderAccepted{ReadyAt: time.Date(2026, 11, 23, 4, 22, 0, 5000, time.UTC)},
		OrderRejected{Reason: "closed"},
		OrderLinesChanged{Lines: lines, OldTotal: Money{9000, "EUR"}, Total: Money{2500, "EUR"}, Removed: &item},
		PreparationStarted{},
		OrderReady{},
		OrderDispatched{Courier: "Ada"},
		OrderCollected{},
		OrderDelivered{},
		DeliveryFailed{Reason: "nobody at home"},
		OrderCancelled{By: "customer", Reason: "changed mind", Fee: Money{100, "EUR"}},
		OrderExpired{},
		RefundRequested{Amount: price, Reason: "cold"},
		RefundIssued{Amount: price},
		RefundDenied{Reason: "eaten"},
		TipAdded{Amount: price},
		OrderRated{Stars: 5, Comment: "good"},
	}
}()

func TestEveryTypeDecodesWhatItEncodes(t *testing.T) {
	t.Parallel()
	seen := make(map[Type]bool)
	for _, want := range one {
		seen[want.Type()] = true
		e, err := New(uuid.New(), 1, time.Now(), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Data()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", want.Type(), diff)
		}
	}
	for known := range decoders {
		if !seen[known] {
			t.Errorf("no example of %s", known)
		}
	}
	if len(seen) != len(one) {
		t.Errorf("%d examples have %d types", len(one), len(seen))
	}
}

// A field that the example leaves at its zero value would pass the round trip whatever its name is.
func TestTheExamplesSetEveryField(t *testing.T) {
	t.Parallel()
	for _, data := range one {
		v := reflect.ValueOf(data)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s: %s is not set", data.Type(), v.Type().Field(i).Name)
			}
		}
	}
}

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
