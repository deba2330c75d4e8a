package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What order.cancelled could become: in version 2 a field has another name, in version 3 another form.
type (
	cancelledV1 OrderCancelled
	cancelledV2 struct {
		Party  string `json:"party"`
		Reason string `json:"reason"`
		Fee    Money  `json:"fee"`
	}
	cancelledV3 struct {
		Party  string  `json:"party"`
		Reason string  `json:"reason"`
		Fees   []Money `json:"fees"`
	}
)

func (cancelledV1) Type() Type { return "order.cancelled.v1" }
func (cancelledV2) Type() Type { return "order.cancelled.v2" }
func (cancelledV3) Type() Type { return "order.cancelled.v3" }

func (d cancelledV1) next() Data { return cancelledV2{Party: d.By, Reason: d.Reason, Fee: d.Fee} }

func (d cancelledV2) next() Data {
	next := cancelledV3{Party: d.Party, Reason: d.Reason}
	if d.Fee.Minor != 0 {
		next.Fees = []Money{d.Fee}
	}
	return next
}

// cancelledThrice are the decoders of a program with these three.
func cancelledThrice() map[Type]decoder {
	d := maps.Clone(decoders)
	d["order.cancelled.v1"] = decode[cancelledV1]
	d["order.cancelled.v2"] = decode[cancelledV2]
	d["order.cancelled.v3"] = decode[cancelledV3]
	return d
}

func TestEveryVersionIsReadAsTheNewest(t *testing.T) {
	t.Parallel()
	newest := cancelledV3{Party: "customer", Reason: "changed mind", Fees: []Money{{100, "EUR"}}}
	for _, e := range []Event{
		stored(t, "order.cancelled.v1"),
		{Type: "order.cancelled.v2", Payload: json.RawMessage(`{"party":"customer","reason":"changed mind","fee":{"minor":100,"currency":"EUR"}}`)},
		{Type: "order.cancelled.v3", Payload: json.RawMessage(`{"party":"customer","reason":"changed mind","fees":[{"minor":100,"currency":"EUR"}]}`)},
	} {
		kind, payload := e.Type, string(e.Payload)
		got, err := e.data(cancelledThrice())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, Data(newest)); diff != "" {
			t.Errorf("%s (-got +want):\n%s", kind, diff)
		}
		if e.Type != kind || string(e.Payload) != payload {
			t.Errorf("the event itself became %s %s", e.Type, e.Payload)
		}
	}
}

func TestAnEventOfATypeWithoutAnotherVersionStaysAsItIs(t *testing.T) {
	t.Parallel()
	got, err := stored(t, "order.rated.v1").data(cancelledThrice())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, samples["order.rated.v1"]); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

func TestAVersionNewerThanTheNewestIsUnknown(t *testing.T) {
	t.Parallel()
	for known := range decoders {
		name, version := split(t, known)
		e := Event{Type: Type(fmt.Sprintf("%s.v%d", name, version+1)), Payload: json.RawMessage("{}")}
		if d, err := e.Data(); !errors.Is(err, ErrUnknownType) {
			t.Errorf("%s: got %v and %v, want ErrUnknownType", e.Type, d, err)
		}
	}
	tomorrow := Event{Type: "order.cancelled.v4", Payload: json.RawMessage("{}")}
	if _, err := tomorrow.data(cancelledThrice()); !errors.Is(err, ErrUnknownType) {
		t.Errorf("got %v, want ErrUnknownType", err)
	}
}

// A step that leaves a version out, or its name, would make two events of one log mean different things.
func TestEachVersionsSuccessorIsTheNextOne(t *testing.T) {
	t.Parallel()
	if wrong := missteps(t, decoders); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
	if wrong := missteps(t, cancelledThrice()); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
	gap := cancelledThrice()
	delete(gap, "order.cancelled.v2")
	if wrong := missteps(t, gap); len(wrong) != 1 {
		t.Errorf("version 2 cannot be read, and what was found is %q", wrong)
	}
}

// missteps says which types do not decode as themselves, or have a successor that is not the next version, or one that
// cannot be decoded.
func missteps(t *testing.T, decoders map[Type]decoder) (wrong []string) {
	t.Helper()
	for known, decode := range decoders {
		data, err := decode([]byte("{}"))
		if err != nil || data.Type() != known {
			wrong = append(wrong, fmt.Sprintf("%s decodes as %v: %v", known, data, err))
			continue
		}
		name, version := split(t, known)
		newer := Type(fmt.Sprintf("%s.v%d", name, version+1))
		old, is := data.(older)
		if is && (old.next().Type() != newer || decoders[newer] == nil) {
			wrong = append(wrong, fmt.Sprintf("%s becomes %s, want %s and a decoder of it", known, old.next().Type(), newer))
		}
		if !is && decoders[newer] != nil {
			wrong = append(wrong, fmt.Sprintf("%s does not become %s", known, newer))
		}
	}
	return wrong
}

func split(t *testing.T, kind Type) (name string, version int) {
	t.Helper()
	i := strings.LastIndex(string(kind), ".v")
	if i < 0 {
		t.Fatalf("type %q has no version", kind)
	}
	if _, err := fmt.Sscanf(string(kind[i:]), ".v%d", &version); err != nil {
		t.Fatalf("type %q: %v", kind, err)
	}
	return string(kind[:i]), version
}

// See file upcast.go for why.
func TestAFieldThatAVersionDoesNotHaveIsIgnoredAndKept(t *testing.T) {
	t.Parallel()
	e := Event{Type: TypeOrderRated, Payload: json.RawMessage(`{"stars":5,"photo":{"url":"x"},"comment":"good"}`)}
	got, err := e.Data()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, Data(OrderRated{Stars: 5, Comment: "good"})); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	if !strings.Contains(string(e.Payload), "photo") {
		t.Errorf("the stored bytes have become %s", e.Payload)
	}
}
