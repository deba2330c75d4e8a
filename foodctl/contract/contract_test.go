package contract

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/contract"
)

var (
	source    = filepath.Join("..", "..")
	committed = filepath.Join(source, "docs", "contracts")
)

func made(t *testing.T) Files {
	t.Helper()
	files, err := Make(source)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheContractsAreWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	differ, err := made(t).Compare(committed)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differ {
		t.Errorf("docs/contracts/%s", d)
	}
	if err := Breaks(differ); err != nil {
		t.Error(err)
	} else if len(differ) > 0 {
		t.Error("write them: go run ./foodctl contracts --write docs/contracts")
	}
}

func TestEachStoredSampleFitsItsSchema(t *testing.T) {
	t.Parallel()
	schemas := contract.Schemas(t)
	files, err := filepath.Glob(filepath.Join(source, events, "testdata", "*.json"))
	if err != nil || len(files) < schemas.Types() {
		t.Fatalf("%d samples of %d types: %v", len(files), schemas.Types(), err)
	}
	for _, file := range files {
		payload, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		if err := schemas.Written(event.Type(kind), payload); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestAPayloadThatIsNoSuchEventIsRefused(t *testing.T) {
	t.Parallel()
	schemas := contract.Schemas(t)
	const placed = `{"customer_id":3,"service":"delivery","lines":[{"item_id":7,"name":"Ramen","quantity":2,` +
		`"unit_price":{"minor":1250,"currency":"EUR"}}],"total":{"minor":2500,"currency":"EUR"}}`
	for _, tt := range []struct {
		name, was, is string
		written       bool // is refused of our own programs alone
	}{
		{"nothing", "", "", false},
		{"a property is missing", `"customer_id":3,`, "", false},
		{"a property of a property is missing", `"item_id":7,`, "", false},
		{"a number is text", `"customer_id":3`, `"customer_id":"3"`, false},
		{"a number has a fraction", `2500`, `25.5`, false},
		{"a list is an object", `"lines":[`, `"lines":{"0":`, false},
		{"a choice that there is not", `"delivery"`, `"drone"`, false},
		{"null", `"service":"delivery"`, `"service":null`, false},
		{"no lines", `[{"item_id":7,"name":"Ramen","quantity":2,"unit_price":{"minor":1250,"currency":"EUR"}}]`, `[]`, false},
		{"a currency in words", `"EUR"}}`, `"euro"}}`, false},
		{"a debt", `1250`, `-1250`, false},
		{"a property more", `"customer_id":3`, `"customer_id":3,"coupon":"X"`, true},
		{"a property more within", `"item_id":7`, `"item_id":7,"size":"L"`, true},
	} {
		payload := strings.Replace(placed, tt.was, tt.is, 1)
		if strings.HasPrefix(tt.is, `"lines":{`) {
			payload = strings.Replace(payload, `}}],`, `}}},`, 1)
		}
		want := payload != placed
		if got := schemas.Accepts(event.TypeOrderPlaced, []byte(payload)); (got != nil) != (want && !tt.written) {
			t.Errorf("%s: a reader's verdict on %s is %v", tt.name, payload, got)
		}
		if got := schemas.Written(event.TypeOrderPlaced, []byte(payload)); (got != nil) != want {
			t.Errorf("%s: a writer's verdict on %s is %v", tt.name, payload, got)
		}
	}
	if err := schemas.Accepts(event.TypeOrderAccepted, []byte(`{"ready_at":"at noon"}`)); err == nil {
		t.Error("a time in words is accepted")
	}
}

// write puts the contracts into a directory of the test's.
func write(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "contracts")
	if differ, err := made(t).Write(dir); err != nil || len(differ) != len(made(t)) {
		t.Fatalf("wrote %d files: %v", len(differ), err)
	}
	return dir
}

func replace(t *testing.T, file, was, is string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte(was), []byte(is), 1)
	if bytes.Equal(changed, text) {
		t.Fatalf("%s does not have %q", file, was)
	}
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestASchemaThatWouldAcceptSomethingElseIsNeverWritten(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, was, is string }{
		"a bound":    {"order.rated.v1.json", `"maximum": 5`, `"maximum": 4`},
		"a type":     {"order.rated.v1.json", `"integer"`, `"number"`},
		"a property": {"order.cancelled.v1.json", `"by"`, `"party"`},
		"required":   {"order.rated.v1.json", `"stars"` + "\n  ]", `"stars", "comment"` + "\n  ]"},
		"gone":       {"order.rated.v1.json", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t)
			other := filepath.Join(dir, "order.placed.v1.json")
			replace(t, other, "begins an order", "opens an order")
			if tt.was != "" {
				replace(t, filepath.Join(dir, tt.file), tt.was, tt.is)
			} else if err := os.Rename(filepath.Join(dir, tt.file), filepath.Join(dir, "order.teleported.v1.json")); err != nil {
				t.Fatal(err)
			}
			before := read(t, other)
			differ, err := made(t).Write(dir)
			if !errors.Is(err, ErrBreaks) || !slices.ContainsFunc(differ, func(d Difference) bool { return d.Breaks }) {
				t.Errorf("got %v, %v", differ, err)
			}
			if read(t, other) != before {
				t.Error("another file was written nevertheless")
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsSaidOfAnEventMayBeSaidBetter(t *testing.T) {
	t.Parallel()
	dir := write(t)
	replace(t, filepath.Join(dir, "order.placed.v1.json"), "begins an order", "opens an order")
	if err := os.Remove(filepath.Join(dir, "order.rated.v1.json")); err != nil {
		t.Fatal(err)
	}
	differ, err := made(t).Write(dir)
	if err != nil || len(differ) != 2 || differ[0].File != "order.placed.v1.json" || differ[1].File != "order.rated.v1.json" {
		t.Errorf("got %v, %v", differ, err)
	}
	if differ, err := made(t).Compare(dir); err != nil || len(differ) != 0 {
		t.Errorf("afterwards: %v, %v", differ, err)
	}
}

// What is told apart is told apart at every depth, and in what is no schema at all.
func TestOnlyWhatTellsPeopleMayDiffer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{`{"title":"a"}`, `{"description":"b","examples":[1]}`, true},
		{`{"properties":{"title":{"type":"string"}}}`, `{"properties":{}}`, false},
		{`{"properties":{"x":{"description":"a"}}}`, `{"properties":{"x":{}}}`, true},
		{`{"$defs":{"x":{"properties":{"y":{"title":"a","minimum":1}}}}}`, `{"$defs":{"x":{"properties":{"y":{"minimum":1}}}}}`, true},
		{`{"$defs":{"x":{"properties":{"y":{"minimum":1}}}}}`, `{"$defs":{"x":{"properties":{"y":{"minimum":2}}}}}`, false},
		{`{"items":{"title":"a"}}`, `{"items":{}}`, true},
		{`{"required":["a"]}`, `{"required":["a","b"]}`, false},
		{`{"properties":[]}`, `{"properties":{}}`, false},
		{`{"properties":7}`, `[]`, false},
		{`{`, `{`, false},
	} {
		if got := sameRules([]byte(tt.a), []byte(tt.b)); got != tt.same {
			t.Errorf("%s and %s: the same %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

// An older version's struct is not exported, and its comments are in its schema all the same.
func TestCommentsAreReadOfStructsThatAreNotExported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const source = `package event

// orderCancelledV1 is how
// it was.
type orderCancelledV1 struct {
	// By is who.
	By string
	Fee, Tip int // in cents
}

type (
	// Line is one.
	Line struct{}
)

func f() {}
`
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readComments(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := comments{
		"orderCancelledV1": "orderCancelledV1 is how it was.", "orderCancelledV1.By": "By is who.",
		"orderCancelledV1.Fee": "in cents", "orderCancelledV1.Tip": "in cents", "Line": "Line is one.",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := readComments(t.TempDir()); err == nil {
		t.Error("a directory without source has comments")
	}
}
