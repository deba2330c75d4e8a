package checkpoint

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func exampleRecord() Record {
	return Record{
		Format: Format, Phase: Streaming, Slot: "food_orders",
		Source:  Source{SystemID: "7711234781068068431", Timeline: 3, Publication: "cafe"},
		Cluster: "cluster", Topics: map[string]Ends{"food-orders": {ID: "topic id", Last: []string{"a", "", "c"}}},
		At: Position{End: 1000}, Events: 17,
		WrittenAt: time.Date(2026, 11, 23, 4, 22, 0, 0, time.UTC),
	}
}

func TestUnmarshalReadsWhatMarshalWrote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9-]{0,12}`)
		end := outbox.LSN(rapid.Uint64Max(1<<62).Draw(t, "end"))
		ends := rapid.Custom(func(t *rapid.T) Ends {
			return Ends{text.Draw(t, "topic id"), rapid.SliceOfN(text, 1, 9).Draw(t, "last")}
		})
		want := Record{
			Format: rapid.SampledFrom([]int{Format, FormatRouted}).Draw(t, "format"), Phase: rapid.SampledFrom([]Phase{Loading, Streaming}).Draw(t, "phase"), Slot: text.Draw(t, "slot"),
			Source:  Source{text.Draw(t, "system"), rapid.Int32().Draw(t, "timeline"), text.Draw(t, "publication")},
			Cluster: text.Draw(t, "cluster"), Topics: map[string]Ends{text.Draw(t, "topic"): ends.Draw(t, "ends")},
			At: Position{End: end}, Events: rapid.Int64().Draw(t, "events"),
			Reason: text.Draw(t, "reason"), WrittenAt: time.UnixMicro(rapid.Int64Range(0, 1<<50).Draw(t, "at")).UTC(),
		}
		if want.Format == FormatRouted {
			want.Topics = rapid.MapOfN(text, ends, 1, 4).Draw(t, "topics")
		}
		if rapid.Bool().Draw(t, "split") {
			want.At.Partial = &Partial{Commit: end + outbox.LSN(rapid.Uint32().Draw(t, "commit")), Rows: rapid.Int64Min(1).Draw(t, "rows")}
		}
		if overrides := rapid.SliceOf(text).Draw(t, "overrides"); len(overrides) > 0 {
			want.Overrides = overrides
		}
		b, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unmarshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("-got +want:\n%s", diff)
		}
	})
}

// Others read it too, so its form is written out here once.
func TestRecordIsJSONWithPositionsAsText(t *testing.T) {
	t.Parallel()
	r := exampleRecord()
	r.At = Position{End: 0x16_B374D848, Partial: &Partial{Commit: 0x16_B374D900, Rows: 5}}
	got, err := r.Marshal()
	const want = `{"format":1,"phase":"streaming","slot":"food_orders",` +
		`"source":{"system_id":"7711234781068068431","timeline":3,"publication":"cafe"},` +
		`"target":{"cluster_id":"cluster","topic":"food-orders","topic_id":"topic id","partitions":3},` +
		`"position":{"end_lsn":"16/B374D848","partial":{"commit_lsn":"16/B374D900","rows":5}},` +
		`"last_events":["a","","c"],"events":17,"written_at":"2026-11-23T04:22:00Z"}`
	if string(got) != want || err != nil {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestNewerFormatIsRefusedWhateverElseItHolds_I7(t *testing.T) {
	t.Parallel()
	for _, b := range []string{
		`{"format":3}`,
		`{"format":3,"phase":"streaming","last_events":[],"position":{"end_lsn":"0/0"}}`,
		`{"format":4,"phase":7,"position":["0/0"],"last_events":{}}`,
	} {
		if r, err := Unmarshal([]byte(b)); err == nil || !strings.Contains(err.Error(), "run a newer relay") {
			t.Errorf("%s: got %+v, %v", b, r, err)
		}
	}
}

func TestDamagedRecordIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Record){
		"no format":                  func(r *Record) { r.Format = 0 },
		"no phase":                   func(r *Record) { r.Phase = "" },
		"another phase":              func(r *Record) { r.Phase = "sleeping" },
		"a part of nothing":          func(r *Record) { r.At.Partial = &Partial{Commit: 2000} },
		"a part of what is complete": func(r *Record) { r.At.Partial = &Partial{Commit: 999, Rows: 1} },
	} {
		r := exampleRecord()
		r.Format = FormatRouted
		spoil(&r)
		b, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if r, err := Unmarshal(b); err == nil {
			t.Errorf("%s: got %+v", name, r)
		}
	}
	whole, err := exampleRecord().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if r, err := Unmarshal(whole[:n]); err == nil {
			t.Errorf("cut to %s: got %+v", whole[:n], r)
		}
	}
	for _, b := range []string{
		"null", "[]", "{}", `"x"`, string(whole) + "x", strings.Replace(string(whole), `"0/3E8"`, `"nowhere"`, 1),
		strings.Replace(string(whole), `["a","",`, `["a",`, 1), strings.Replace(string(whole), `"last_events"`, `"first_events"`, 1),
		strings.Replace(string(whole), `"partitions":3`, `"partitions":2`, 1), strings.Replace(string(whole), `"target"`, `"aim"`, 1),
	} {
		if r, err := Unmarshal([]byte(b)); err == nil {
			t.Errorf("%s: got %+v", b, r)
		}
	}
}

// The form of a relay whose rows are routed. A relay that knows format 1 alone refuses it, by its number.
func TestRecordOfSeveralTopicsIsOfAnotherFormat(t *testing.T) {
	t.Parallel()
	r := exampleRecord()
	r.Topics["outbox.event.order"] = Ends{"other id", []string{"x"}}
	if b, err := r.Marshal(); err == nil {
		t.Errorf("two topics in format 1: %s", b)
	}
	r.Format = FormatRouted
	got, err := r.Marshal()
	const want = `{"format":2,"phase":"streaming","slot":"food_orders",` +
		`"source":{"system_id":"7711234781068068431","timeline":3,"publication":"cafe"},"cluster_id":"cluster",` +
		`"topics":{"food-orders":{"topic_id":"topic id","last_events":["a","","c"]},"outbox.event.order":{"topic_id":"other id","last_events":["x"]}},` +
		`"position":{"end_lsn":"0/3E8"},"events":17,"written_at":"2026-11-23T04:22:00Z"}`
	if string(got) != want || err != nil {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

// FuzzUnmarshal: what is accepted is complete, and is the same when it is written and read again.
func FuzzUnmarshal(f *testing.F) {
	whole, err := exampleRecord().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"format":1,"phase":"loading"}`))
	f.Add([]byte(`{"format":1,"phase":"loading","position":{"partial":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Unmarshal(b)
		if err != nil {
			return
		}
		if r.Format > FormatRouted || r.Format == Format && len(r.Topics) != 1 || r.At.Partial != nil && r.At.Partial.Commit < r.At.End {
			t.Errorf("accepted %+v", r)
		}
		again, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Unmarshal(again); err != nil || got.At.End != r.At.End || !cmp.Equal(got.Topics, r.Topics, cmpopts.EquateEmpty()) {
			t.Errorf("%s is read as %+v, %v", again, got, err)
		}
	})
}
