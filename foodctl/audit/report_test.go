package audit_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
)

var sample = audit.Report{
	Verdict: audit.Violated, Undecided: []string{"the read model lags"}, Notes: []string{"look here"},
	Source: audit.Source{Events: 1842, Orders: 412, CutAt: time.Date(2026, 11, 23, 4, 22, 0, 0, time.UTC), CutLSN: 0x1A2B3C8},
	Topic: audit.Topic{Name: "food-orders", Records: 1843, Unique: 1842, BeyondCut: 7, Partitions: []audit.Partition{
		{Partition: 0, Records: 1000, End: 1010}, {Partition: 1, Records: 843, End: 850},
	}},
	Counts:     audit.Counts{Duplicates: 1},
	Orders:     audit.Table{Name: "orders", Rows: 412},
	Checkpoint: audit.Checkpoint{Checked: true, Phase: "streaming", Position: 0x1A2B3D0, Confirmed: 0x1A2B3C8},
	ReadModel:  audit.ReadModel{Checked: true, Applied: 1800, Pending: 42, Tables: []audit.Table{{Name: "order_summary", Rows: 400}}},
	Findings:   1,
	Offenders: []audit.Offender{{
		Kind: audit.Duplicate, Partition: new(int32(1)), Offset: new(int64(849)), Version: 3,
		Event: uuid.MustParse("01a206ca-fe95-7473-8285-5c22fa774877"), Order: uuid.MustParse("01a206ca-fe91-77ea-8812-1ba41c54c4f9"),
		Detail: "the event is at partition 1 offset 17 already",
	}},
	Took: 1234 * time.Millisecond,
}

const sampleText = `audit of food-orders at 2026-11-23 04:22:00Z, log position 0/1A2B3C8

  source                1,842 events   412 orders
  topic                1,843 records   1,842 unique: p0 1,000, p1 843; 7 of them committed since the cut
  read model            1,800 events   applied, 42 to come

  duplicates                       1
  missing                          0
  extra                            0
  out of order                     0
  mismatched                       0
  torn transactions                0
  wrong checkpoint                 0   streaming at 0/1A2B3D0, Postgres was told 0/1A2B3C8

  wrong rows
    orders                         0   of 412
    order_summary                  0   of 400

  duplicate partition 1 offset 849 event 01a206ca-fe95-7473-8285-5c22fa774877 order 01a206ca-fe91-77ea-8812-1ba41c54c4f9 version 3: the event is at partition 1 offset 17 already

undecided: the read model lags
note: look here
VIOLATED: 1 finding (1.23s)
`

func TestWriteIsATableForPeople(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := sample.Write(&b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleText, b.String()); d != "" {
		t.Errorf("text differs (-want +got):\n%s", d)
	}
}

// The names are a contract with scripts: a change here breaks somebody.
func TestJSONNamesAreStable(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(sample)
	if err != nil {
		t.Fatal(err)
	}
	var top map[string]any
	if err := json.Unmarshal(b, &top); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"": names(top)}
	for _, name := range []string{"source", "topic", "counts", "orders", "checkpoint", "read_model"} {
		got[name] = names(top[name].(map[string]any))
	}
	got["offenders"] = names(top["offenders"].([]any)[0].(map[string]any))
	want := map[string]string{
		"":           "checkpoint counts customers findings notes offenders orders read_model source took_ns topic undecided verdict",
		"source":     "cut_at cut_lsn events orders",
		"topic":      "beyond_cut name partitions records unique",
		"counts":     "duplicates extra mismatched missing out_of_order pending torn",
		"orders":     "name rows wrong",
		"checkpoint": "checked confirmed_flush phase position wrong",
		"read_model": "applied checked pending tables",
		"offenders":  "detail event_id kind offset order_id partition version",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("names differ (-want +got):\n%s", d)
	}
}

func names(object map[string]any) string {
	return strings.Join(slices.Sorted(maps.Keys(object)), " ")
}
