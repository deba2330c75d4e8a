package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// projector runs a command in this process, on the world's read model, and returns what it printed.
func (w *world) command(args ...string) (string, error) {
	w.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--database-url", w.args[2], "--topic", w.args[6])
	err := run(w.Context(), args, &out, &errs)
	return out.String() + errs.String(), err
}

// An operator's way: an order is blocked by an event of a type that this projector does not know, and by a foreign record; it is found,
// looked at, and applied when it can be.
func TestLettersAreListedShownRedrivenAndDiscarded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(60, 4, 60)
	bad := slices.IndexFunc(events, func(e viewtest.Event) bool {
		return e.Version == 2 && slices.ContainsFunc(events, func(o viewtest.Event) bool { return o.Order == e.Order && o.Version == 4 })
	})
	unknown := w.Record(events[bad])
	for i := range unknown.Headers {
		if unknown.Headers[i].Key == "ce_type" {
			unknown.Headers[i].Value = []byte("order.teleported.v1")
		}
	}
	foreign := &kgo.Record{Topic: unknown.Topic, Value: []byte("hello\x00"), Partition: -1}
	w.send(events[:bad])()
	if err := w.Transaction(kgo.TryCommit, unknown, foreign); err != nil {
		t.Fatal(err)
	}
	var later []*kgo.Record // from when the relay had a schema registry
	for _, e := range events[bad+1:] {
		later = append(later, w.Record(e))
		later[len(later)-1].Value = append([]byte{0, 0, 0, 1, 2}, e.Payload...)
	}
	if err := w.Transaction(kgo.TryCommit, later...); err != nil {
		t.Fatal(err)
	}
	order := events[bad].Order
	waiting := 0
	for _, e := range events[bad:] {
		if e.Order == order {
			waiting++
		}
	}
	w.start()
	w.until("all events are applied or parked", func() bool {
		return w.number(`SELECT coalesce(sum(applied_events), 0) + (SELECT count(*) FROM dead_letters) FROM projection_offsets`) == int64(len(events)+1)
	})

	out, err := w.command("letters", "list")
	if err != nil || !strings.Contains(out, fmt.Sprintf("%s  %d ", order, waiting)) || !strings.Contains(out, "unknown_type") || !strings.Contains(out, "(none)") {
		t.Errorf("list: %v\n%s", err, out)
	}
	out, err = w.command("letters", "show", order.String())
	if err != nil || !strings.Contains(out, "order.teleported.v1") || !strings.Contains(out, string(events[bad].Payload)) || strings.Count(out, "\nversion") != waiting ||
		!regexp.MustCompile(`schema id +258\nvalue +\{`).MatchString(out) {
		t.Errorf("show: %v\n%s", err, out)
	}
	out, err = w.command("letters", "redrive", "--all")
	if exit, is := errors.AsType[*ops.ExitError](err); !is || exit.Code != 1 || !strings.Contains(out, "unknown event type") {
		t.Errorf("redrive with the cause still there: %v\n%s", err, out)
	}

	// The relay's operator publishes the event anew, as it should have been.
	w.send(events[bad : bad+1])()
	w.until("it is applied", func() bool {
		return w.number(`SELECT count(*) FROM order_timeline WHERE order_id = $1`, order) == 2
	})
	out, err = w.command("letters", "redrive", order.String())
	if err == nil || !strings.Contains(out, fmt.Sprintf("%d events applied, 1 still waiting", waiting-1)) {
		t.Errorf("redrive: %v\n%s", err, out)
	}
	viewtest.Equal(t, w.pool, events)

	for _, l := range w.listed() {
		place := fmt.Sprintf("%d:%d", l.Partition, l.Offset)
		out, err = w.command("letters", "discard", place, "--reason", "came again")
		if err != nil || out != "1 letter given up.\n" {
			t.Errorf("discard: %v\n%s", err, out)
		}
	}
	if out, err = w.command("letters", "list"); err != nil || out != "No dead letters wait.\n" {
		t.Errorf("list: %v\n%s", err, out)
	}
	if out, err = w.command("letters", "list", "--state", "discarded"); err != nil || strings.Count(out, "\n") != 3 {
		t.Errorf("list of the discarded: %v\n%s", err, out)
	}
}

func (w *world) listed() (letters []letterJSON) {
	w.Helper()
	out, err := w.command("letters", "list", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &letters)
	}
	if err != nil {
		w.Fatalf("list --json: %v\n%s", err, out)
	}
	return letters
}

func TestLettersThatAreNotThereAreSaidSo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const order = "0199f3c1-0000-7000-8000-000000000001"
	for _, args := range [][]string{
		{"letters", "show", order},
		{"letters", "show", "2:7"},
		{"letters", "redrive", order},
		{"letters", "discard", order, "--reason", "x"},
	} {
		if out, err := w.command(args...); !errors.Is(err, errNoLetter) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestLettersRefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"letters", "show", "one"},
		{"letters", "show", "-1:7"},
		{"letters", "show", "1:x"},
		{"letters", "redrive"},
		{"letters", "redrive", "one"},
		{"letters", "redrive", "0199f3c1-0000-7000-8000-000000000001", "--all"},
		{"letters", "discard", "1:1"},
		{"letters", "discard", "1:1", "--reason", " "},
		{"letters", "list", "--state", "lost"},
	} {
		err := run(context.Background(), append(args, "--database-url", "postgres://localhost:1/x"), &bytes.Buffer{}, &bytes.Buffer{})
		if exit, is := errors.AsType[*ops.ExitError](err); !is || exit.Code != 2 {
			t.Errorf("%v: got %v, want exit code 2", args, err)
		}
	}
}
