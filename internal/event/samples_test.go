package event

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// samples are what each file in testdata has to be read as: for every version that was ever written a payload as the
// outbox has it, with all fields, and where a field may be absent one without it, whose name goes on behind a dash.
// A file is never changed or removed; its sum is in SHA256SUMS.
var samples = map[string]Data{
	"order.placed.v1":                    OrderPlaced{CustomerID: 3, Service: Delivery, Lines: ramen, Total: Money{2500, "EUR"}},
	"payment.authorized.v1":              PaymentAuthorized{Amount: Money{2500, "EUR"}},
	"payment.failed.v1":                  PaymentFailed{Reason: "declined"},
	"payment.captured.v1":                PaymentCaptured{Amount: Money{2500, "EUR"}},
	"payment.voided.v1":                  PaymentVoided{},
	"order.accepted.v1":                  OrderAccepted{ReadyAt: time.Date(2026, 11, 23, 4, 22, 0, 5000, time.UTC)},
	"order.rejected.v1":                  OrderRejected{Reason: "closed"},
	"order.lines_changed.v1":             OrderLinesChanged{Lines: ramen, OldTotal: Money{9000, "EUR"}, Total: Money{2500, "EUR"}, Removed: &seven},
	"order.lines_changed.v1-by-customer": OrderLinesChanged{Lines: ramen, OldTotal: Money{9000, "EUR"}, Total: Money{2500, "EUR"}},
	"order.preparation_started.v1":       PreparationStarted{},
	"order.ready.v1":                     OrderReady{},
	"order.dispatched.v1":                OrderDispatched{Courier: "Ada"},
	"order.collected.v1":                 OrderCollected{},
	"order.delivered.v1":                 OrderDelivered{},
	"order.delivery_failed.v1":           DeliveryFailed{Reason: "nobody at home"},
	"order.cancelled.v1":                 OrderCancelled{By: "customer", Reason: "changed mind", Fee: Money{100, "EUR"}},
	"order.expired.v1":                   OrderExpired{},
	"refund.requested.v1":                RefundRequested{Amount: Money{1250, "EUR"}, Reason: "cold"},
	"refund.issued.v1":                   RefundIssued{Amount: Money{1250, "EUR"}},
	"refund.denied.v1":                   RefundDenied{Reason: "eaten"},
	"order.tip_added.v1":                 TipAdded{Amount: Money{250, "EUR"}},
	"order.rated.v1":                     OrderRated{Stars: 5, Comment: "good"},
	"order.rated.v1-no-comment":          OrderRated{Stars: 5},
	"customer.erased.v1":                 CustomerErased{CustomerID: 17},
}

var (
	seven = 7
	ramen = []Line{{ItemID: 7, Name: "Ramen", Quantity: 2, UnitPrice: Money{1250, "EUR"}}}
)

// stored returns the payload in a sample's file and the type that its name begins with.
func stored(t *testing.T, name string) Event {
	t.Helper()
	payload, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	kind, _, _ := strings.Cut(name, "-")
	return Event{ID: uuid.New(), Type: Type(kind), Payload: bytes.TrimSuffix(payload, []byte("\n"))}
}

func TestWhatWasEverWrittenIsReadAsTheNewestVersion(t *testing.T) {
	t.Parallel()
	for name, want := range samples {
		e := stored(t, name)
		for range 2 { // pure: the second time it is the same
			got, err := e.Data()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("%s (-got +want):\n%s", name, diff)
			}
		}
		if _, is := want.(older); is {
			t.Errorf("%s: %s has a successor", name, want.Type())
		}
	}
}

func TestWhatIsWrittenNowIsTheSampleByteForByte(t *testing.T) {
	t.Parallel()
	for name, data := range samples {
		sample := stored(t, name)
		if sample.Type != data.Type() {
			continue // an older version, which nobody writes
		}
		e, err := New(uuid.New(), 1, time.Now(), data)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(e.Payload), string(sample.Payload); got != want {
			t.Errorf("%s has changed: it needs a new version\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestEachVersionOfEachTypeHasASample(t *testing.T) {
	t.Parallel()
	for known := range decoders {
		if samples[string(known)] == nil {
			t.Errorf("no sample of %s", known)
		}
	}
	for name := range samples {
		if _, known := decoders[stored(t, name).Type]; !known {
			t.Errorf("%s cannot be read any more", name)
		}
	}
}

// What a sample leaves at its zero value is read and written right whatever its name is.
func TestTheSamplesSetEveryField(t *testing.T) {
	t.Parallel()
	for name, data := range samples {
		if name == string(data.Type()) {
			isSet(t, name, reflect.ValueOf(data))
		}
	}
}

func isSet(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	if empty := v.Kind() == reflect.Struct && v.NumField() == 0; v.IsZero() && !empty {
		t.Errorf("%s is not set", name)
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Time](): // its fields are its own
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			isSet(t, name+" "+v.Type().Field(i).Name, v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			isSet(t, fmt.Sprint(name, " ", i), v.Index(i))
		}
	}
}

// SHA256SUMS is what sha256sum makes in testdata. To add a line is how a sample is added; to change one is to say that what
// the log holds was something else.
func TestNoSampleIsChangedOrRemoved(t *testing.T) {
	t.Parallel()
	sums, err := os.ReadFile(filepath.Join("testdata", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for line := range strings.Lines(string(sums)) {
		want, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed[strings.TrimSuffix(file, ".json")] = true
		content, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Errorf("a sample was removed: %v", err)
		} else if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != want {
			t.Errorf("%s was changed: its sum is %s", file, got)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if !listed[name] {
			t.Errorf("%s is not in SHA256SUMS", file)
		}
		if samples[name] == nil {
			t.Errorf("nothing says what %s has to be read as", file)
		}
	}
}
