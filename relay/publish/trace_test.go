package publish

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/spans"
)

// told is a line about an event.
type told struct {
	Msg       string `json:"msg"`
	OrderID   string `json:"order_id"`
	EventID   string `json:"event_id"`
	Version   int64  `json:"version"`
	EventType string `json:"event_type"`
	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	LSN       string `json:"lsn"`
}

// journal is a log at debug, kept. The client writes to it too, whenever it likes.
type journal struct{ testenv.Output }

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// told are the lines about events.
func (j *journal) told(t *testing.T) (all []told) {
	t.Helper()
	for line := range strings.Lines(j.String()) {
		var l told
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.OrderID != "" {
			all = append(all, l)
		}
	}
	return all
}

func TestEventsAreToldWhenTheyAreCommittedAndNotBefore(t *testing.T) {
	t.Parallel()
	k := setup(t)
	var log journal
	k.config.Log = log.logger()
	p := k.open()
	var want []told
	for round := range int64(2) { // the second transaction tells nothing of the first
		rows := k.rows(0, 2)
		k.add(p, rows)
		if got := log.told(t); len(got) != len(want) {
			t.Fatalf("told before the commit: %v", got[len(want):])
		}
		if _, err := p.Commit(t.Context(), k.checkpoint(round+1)); err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			want = append(want, told{
				Msg: "event published", OrderID: string(row.AggregateID), EventID: string(row.ID), Version: 1,
				EventType: "order.ready.v1", Partition: 2 * i, Offset: 2 * round, LSN: "0/7", // between them is a commit marker
			})
		}
		if diff := cmp.Diff(want, log.told(t)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEventsOfATransactionThatWasFencedAreNotTold(t *testing.T) {
	t.Parallel()
	k := setup(t)
	var log journal
	k.config.Log = log.logger()
	p := k.open()
	k.add(p, k.rows(0, 1))
	k.config.Log = slog.New(slog.DiscardHandler)
	k.open() // takes over
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err == nil {
		t.Error("a fenced producer has committed")
	}
	if got := log.told(t); got != nil {
		t.Errorf("told of what was not published: %v", got)
	}
}

//nolint:paralleltest // AllocsPerRun counts what the whole process allocates
func TestTellingCostsNothingAboveDebug(t *testing.T) {
	k := setup(t)
	k.config.Log = slog.New(slog.NewJSONHandler(new(bytes.Buffer), nil))
	p := k.open()
	row := k.rows(0)[0]
	k.add(p, []outbox.Row{row})
	got := testing.AllocsPerRun(100, func() {
		if _, err := p.Add(t.Context(), row, source); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 || p.tx.trace != nil {
		t.Errorf("%v allocations an event, %d events kept; want none", got, len(p.tx.trace))
	}
}

// A span is of the trace that the event's headers name, and is there when the event is committed and not before.
func TestEventsWhoseTraceIsRecordedHaveASpan(t *testing.T) {
	t.Parallel()
	k := setup(t)
	var got []spans.Span
	k.config.Spans = func(s spans.Span) { got = append(got, s) }
	p := k.open()
	rows := k.rows(0, 1, 2)
	const parent = "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
	rows[1].Headers = []byte(`{"actor": "test", "traceparent": "00` + parent + `01"}`)
	rows[2].Headers = []byte(`{"actor": "test", "traceparent": "00` + parent + `00"}`)
	k.add(p, rows)
	if err := flush(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if len(got) > 0 {
		t.Errorf("told before the commit: %v", got)
	}
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("%d spans, want one: %v", len(got), got)
	}
	s := got[0]
	if s.ID == [8]byte{} || s.Parent.Trace[0] != 0x4b || s.Parent.Span[1] != 0xf0 || s.Start.After(s.End) {
		t.Errorf("%+v", s)
	}
	if s.Topic != k.topic.Name || s.Partition != 1 || s.Offset != 0 || s.Event != string(rows[1].ID) || s.Key != string(rows[1].AggregateID) {
		t.Errorf("%+v is not event %s", s, rows[1].ID)
	}
}
