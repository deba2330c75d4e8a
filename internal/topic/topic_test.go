package topic_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// row is what Postgres sends for an event.
func row(seq int64, e event.Event, headers string) outbox.Row {
	r := outbox.Row{
		Seq: strconv.AppendInt(nil, seq, 10), ID: []byte(e.ID.String()),
		AggregateType: []byte(event.AggregateOrder), AggregateID: []byte(e.Order.String()),
		Type: []byte(e.Type), Version: strconv.AppendInt(nil, e.Version, 10),
		Payload: e.Payload, OccurredAt: []byte(e.At.Format("2006-01-02 15:04:05.999999-07")),
	}
	if headers != "" {
		r.Headers = []byte(headers)
	}
	return r
}

func example(t *testing.T) event.Event {
	t.Helper()
	e, err := event.New(uuid.New(), 3, time.Date(2026, 11, 23, 4, 22, 0, 500_000_000, time.UTC), event.OrderRated{Stars: 5})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var source = topic.Source{
	Name: "/orders", Commit: 0x16_B374D848, Index: 2, Last: true,
	Committed: time.Date(2026, 11, 23, 4, 22, 1, 0, time.UTC),
}

func TestParseReadsWhatRecordWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Custom(func(t *rapid.T) uuid.UUID {
			b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")
			return uuid.UUID(append(b[:15:15], b[15]|1)) // the zero one is no id
		})
		want := topic.Message{
			Event: event.Event{
				ID: id.Draw(t, "id"), Order: id.Draw(t, "order"),
				Version: rapid.Int64Min(1).Draw(t, "version"),
				At:      time.UnixMicro(rapid.Int64Range(946_684_800_000_000, 32_503_679_999_999_999).Draw(t, "at")).UTC(),
				Type:    event.Type(rapid.StringMatching(`[a-z_]{1,20}\.v[1-9]`).Draw(t, "type")),
				Payload: []byte("{" + rapid.String().Draw(t, "payload")), // JSON does not begin with a zero byte
			},
			Seq: rapid.Int64().Draw(t, "seq"),
			Source: topic.Source{
				Name: "/orders", Commit: outbox.LSN(rapid.Uint64().Draw(t, "commit")), Committed: source.Committed,
				Last: rapid.Bool().Draw(t, "last"),
			},
		}
		if want.Source.Commit > 0 { // of a row read from the table, the index is not known either
			want.Source.Index = rapid.IntMin(0).Draw(t, "index")
		}
		var headers string
		if rapid.Bool().Draw(t, "has headers") {
			want.Headers = map[string]string{event.HeaderActor: rapid.StringMatching(`[a-z"]*`).Draw(t, "actor"), event.HeaderTraceparent: "00-1"}
			headers = `{"actor":` + strconv.Quote(want.Headers[event.HeaderActor]) + `,"traceparent":"00-1"}`
		}

		r, err := topic.Record(topic.Name, row(want.Seq, want.Event, headers), want.Source)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "registry") {
			r.Value = append([]byte{0, 1, 2, 3, 4}, r.Value...)
		}
		got, err := topic.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
		if read, err := topic.ID(r); read != want.ID.String() || err != nil {
			t.Errorf("id %q, %v", read, err)
		}
	})
}

// The record is a contract with readers in other languages, so its form is written out here once.
func TestRecordIsACloudEventInBinaryMode(t *testing.T) {
	t.Parallel()
	e := example(t)
	r, err := topic.Record(topic.Name, row(41, e, `{"actor":"kitchen"}`), source)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, h := range r.Headers {
		got[h.Key] = string(h.Value)
	}
	want := map[string]string{
		"ce_specversion": "1.0",
		"ce_id":          e.ID.String(),
		"ce_source":      "/orders",
		"ce_type":        "order.rated.v1",
		"ce_subject":     e.Order.String(),
		"ce_time":        "2026-11-23T04:22:00.5Z",
		"content-type":   "application/json",
		"version":        "3",
		"outbox_seq":     "41",
		"commit_lsn":     "16/B374D848",
		"tx_index":       "2",
		"tx_last":        "true",
		"actor":          "kitchen",
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("headers (-got +want):\n%s", diff)
	}
	if r.Topic != topic.Name || string(r.Key) != e.Order.String() || string(r.Value) != `{"stars":5}` || !r.Timestamp.Equal(source.Committed) {
		t.Errorf("got %+v", r)
	}
}

func TestWhereARowFromTheTableStoodIsNotSaid(t *testing.T) {
	t.Parallel()
	r, err := topic.Record(topic.Name, row(1, example(t), ""), topic.Source{Name: "/orders"})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range r.Headers {
		if h.Key == topic.HeaderLSN || h.Key == topic.HeaderIndex || h.Key == topic.HeaderLast {
			t.Errorf("header %s: %s", h.Key, h.Value)
		}
	}
}

// An event's own headers come from whoever made the request. One with a name of ours must neither pass for ours nor make
// the record one that Parse refuses: nobody could read past it.
func TestOwnHeadersCannotTakeTheRecordsNames(t *testing.T) {
	t.Parallel()
	names := []string{
		topic.HeaderSpecVersion, topic.HeaderID, topic.HeaderSource, topic.HeaderType, topic.HeaderSubject, topic.HeaderTime, topic.HeaderContentType,
		topic.HeaderVersion, topic.HeaderSeq, topic.HeaderLSN, topic.HeaderIndex, topic.HeaderLast,
	}
	for _, src := range []topic.Source{{Name: "/orders"}, {Name: "/orders", Commit: 7}, source} {
		for _, value := range []string{"true", "7", "x", "", "7/7", uuid.NewString()} {
			own := map[string]string{event.HeaderActor: "test"}
			for _, name := range names {
				own[name] = value
			}
			var pairs []string
			for name, value := range own {
				pairs = append(pairs, strconv.Quote(name)+":"+strconv.Quote(value))
			}
			e := example(t)
			r, err := topic.Record(topic.Name, row(41, e, "{"+strings.Join(pairs, ",")+"}"), src)
			if err != nil {
				t.Fatal(err)
			}
			e.Headers = map[string]string{event.HeaderActor: "test"}
			got, err := topic.Parse(r)
			if diff := cmp.Diff(got, topic.Message{Event: e, Seq: 41, Source: src}); diff != "" || err != nil {
				t.Errorf("%q, %v (-got +want):\n%s", value, err, diff)
			}
			if id, err := topic.ID(r); id != e.ID.String() || err != nil {
				t.Errorf("%q: id %q, %v", value, id, err)
			}
		}
	}
}

func TestRowThatTheOutboxWouldRefuseIsAnError(t *testing.T) {
	t.Parallel()
	good := row(1, example(t), "")
	for name, spoil := range map[string]func(*outbox.Row){
		"headers are a list":       func(r *outbox.Row) { r.Headers = []byte(`["a"]`) },
		"header is a number":       func(r *outbox.Row) { r.Headers = []byte(`{"a":1}`) },
		"headers are cut off":      func(r *outbox.Row) { r.Headers = []byte(`{"a":`) },
		"time is of another zone":  func(r *outbox.Row) { r.OccurredAt = []byte("2026-11-23 05:22:00+01") },
		"time is of another style": func(r *outbox.Row) { r.OccurredAt = []byte("23.11.2026 04:22:00 UTC") },
		"time is infinite":         func(r *outbox.Row) { r.OccurredAt = []byte("infinity") },
		"time is cut off":          func(r *outbox.Row) { r.OccurredAt = []byte("2026-11-23 04+00") },
		"time is missing":          func(r *outbox.Row) { r.OccurredAt = nil },
	} {
		bad := good
		spoil(&bad)
		if r, err := topic.Record(topic.Name, bad, source); err == nil || !strings.Contains(err.Error(), string(good.ID)) {
			t.Errorf("%s: got %v, %v; want an error that names the event", name, r, err)
		}
	}
}

func TestMalformedRecordIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*kgo.Record){
		"no key":          func(r *kgo.Record) { r.Key = nil },
		"another key":     func(r *kgo.Record) { r.Key = []byte(uuid.NewString()) },
		"no headers":      func(r *kgo.Record) { r.Headers = nil },
		"no id":           func(r *kgo.Record) { drop(r, topic.HeaderID) },
		"zero id":         func(r *kgo.Record) { set(r, topic.HeaderID, uuid.Nil.String()) },
		"id is none":      func(r *kgo.Record) { set(r, topic.HeaderID, "7") },
		"no subject":      func(r *kgo.Record) { drop(r, topic.HeaderSubject) },
		"no type":         func(r *kgo.Record) { drop(r, topic.HeaderType) },
		"no version":      func(r *kgo.Record) { drop(r, topic.HeaderVersion) },
		"version 0":       func(r *kgo.Record) { set(r, topic.HeaderVersion, "0") },
		"version is none": func(r *kgo.Record) { set(r, topic.HeaderVersion, "one") },
		"version too big": func(r *kgo.Record) { set(r, topic.HeaderVersion, "9223372036854775808") },
		"time is none":    func(r *kgo.Record) { set(r, topic.HeaderTime, "now") },
		"LSN is none":     func(r *kgo.Record) { set(r, topic.HeaderLSN, "16") },
		"CloudEvents 2":   func(r *kgo.Record) { set(r, topic.HeaderSpecVersion, "2.0") },
	} {
		r, err := topic.Record(topic.Name, row(1, example(t), ""), source)
		if err != nil {
			t.Fatal(err)
		}
		r.Partition, r.Offset = 2, 4711
		spoil(r)
		m, err := topic.Parse(r)
		if !errors.Is(err, topic.ErrMalformed) || !strings.Contains(err.Error(), "food-orders/2 offset 4711") {
			t.Errorf("%s: got %+v, %v", name, m, err)
		}
	}
	if id, err := topic.ID(&kgo.Record{Topic: topic.Name}); !errors.Is(err, topic.ErrMalformed) {
		t.Errorf("id %q, %v", id, err)
	}
}

func drop(r *kgo.Record, name string) {
	r.Headers = slices.DeleteFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })
}

func set(r *kgo.Record, name, value string) {
	drop(r, name)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
}

// FuzzParse: any record is an event with its identity or an error of one kind, never a panic.
func FuzzParse(f *testing.F) {
	for name, value := range map[string]string{
		topic.HeaderTime: "2026-11-23T04:22:00Z", topic.HeaderVersion: "-1", topic.HeaderLSN: "1/1", topic.HeaderIndex: "1", topic.HeaderLast: "yes", "x": "",
	} {
		f.Add([]byte("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), []byte("{}"), name, []byte(value))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte) {
		r := &kgo.Record{Topic: topic.Name, Key: key, Value: value, Headers: []kgo.RecordHeader{
			{Key: topic.HeaderID, Value: []byte(uuid.NewString())},
			{Key: topic.HeaderType, Value: []byte("a.b.v1")},
			{Key: topic.HeaderSubject, Value: key},
			{Key: topic.HeaderVersion, Value: []byte("1")},
			{Key: name, Value: header},
		}}
		m, err := topic.Parse(r)
		if err != nil {
			if !errors.Is(err, topic.ErrMalformed) {
				t.Errorf("error %v is of another kind", err)
			}
			return
		}
		if m.Version < 1 || m.ID == uuid.Nil || m.Order.String() != string(key) || m.Type == "" {
			t.Errorf("accepted %+v", m)
		}
	})
}

// FuzzOwnHeaders: whatever the headers column holds, the record can be read again and has what is not ours.
func FuzzOwnHeaders(f *testing.F) {
	f.Add("actor", "test")
	f.Add("ce_id", "7")
	f.Add("", "\x00")
	f.Fuzz(func(t *testing.T, name, value string) {
		e := example(t)
		r, err := topic.Record(topic.Name, row(1, e, "{"+strconv.Quote(name)+":"+strconv.Quote(value)+"}"), source)
		if err != nil {
			return // Go's quotes are not always JSON's
		}
		m, err := topic.Parse(r)
		if err != nil || m.ID != e.ID || m.Version != e.Version || !m.Source.Last {
			t.Errorf("got %+v, %v", m, err)
		}
		if got := slices.Collect(maps.Keys(m.Headers)); len(got) > 1 {
			t.Errorf("headers %q out of one", got)
		}
	})
}

// An event's own headers mostly have no escapes and are read in one pass; the rest is left to package json. Both must give
// the same.
func TestOwnHeadersAreReadAsJSONReadsThem(t *testing.T) {
	t.Parallel()
	for _, object := range []string{
		`{}`, ` { } `, `{"a":"b"}`, ` {"a" : "b" , "c":"d"}`, `{"b":"1","a":"2"}`, `{"":""}`, `{"a":"1","a":"2"}`,
		`{"a":"\u00e9\n\"}"}`, `{"\u0061":"x","a":"y"}`, `{"ä":"ö"}`, `{"a":"}"}`, `null`, "",
		`{`, `{"a"}`, `{"a":}`, `{"a":"b",}`, `{,"a":"b"}`, `{"a":"b" "c":"d"}`, `{"a":"b"}x`, `{"a":"b`, `{"a":1}`, `{"a":{}}`,
		"{\"a\":\"\n\"}", `x{}`, `{a:"b"}`,
	} {
		var want map[string]string
		wantErr := object != "" && json.Unmarshal([]byte(object), &want) != nil
		r, err := topic.Record(topic.Name, row(1, example(t), object), source)
		if (err != nil) != wantErr {
			t.Errorf("%s: error %v, want one: %v", object, err, wantErr)
		}
		if err != nil {
			continue
		}
		m, err := topic.Parse(r)
		if diff := cmp.Diff(m.Headers, want, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("%s: %v (-got +want):\n%s", object, err, diff)
		}
	}
}

//nolint:paralleltest // AllocsPerRun counts what the whole process allocates
func TestEncodingAllocatesNothing(t *testing.T) {
	encoder, buffer := topic.NewEncoder("/orders"), make([]byte, 0, 4096)
	r := row(7, example(t), `{"actor":"kitchen","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`)
	got := testing.AllocsPerRun(100, func() {
		if _, err := encoder.Append(buffer, r, source); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations a row, want none", got)
	}
}

func BenchmarkAppend(b *testing.B) {
	encoder, buffer := topic.NewEncoder("/orders"), make([]byte, 0, 4096)
	e, err := event.New(uuid.New(), 3, time.Date(2026, 11, 23, 4, 22, 0, 500_000_000, time.UTC), event.OrderRated{Stars: 5})
	if err != nil {
		b.Fatal(err)
	}
	r := row(7, e, `{"actor":"kitchen","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encoder.Append(buffer, r, source); err != nil {
			b.Fatal(err)
		}
	}
}
