package load

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A run in virtual time, one request at a time, is the same each time.
func sample(t *testing.T) (r Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := constant(20, 4*time.Second)
		c.Shape, c.Rate, c.Peak = Spike, 10, 40
		c.Mix = Mix{Act: 0.4, Read: 0.2, Invalid: 0.2, Duplicate: 0.1, Customers: 100, Zipf: 1.1, Seed: 5}
		r = run(t, c, newFake(func(nth int, _ time.Duration) time.Duration { return time.Duration(1+nth%7) * time.Millisecond }))
	})
	r.Machine = Machine{CPUs: 2, System: "linux/amd64", Version: "v1"}
	return r
}

func TestReportsAreAsTheyWere(t *testing.T) {
	t.Parallel()
	r := sample(t)
	for name, write := range map[string]func(io.Writer) error{
		"report.json": func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			return encoder.Encode(r)
		},
		"report.txt":  r.Write,
		"report.html": r.WriteHTML,
	} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got; -update if it is to change):\n%s", path, diff)
		}
	}
}

func TestThePageAsksNobodyAndEscapesWhatItShows(t *testing.T) {
	t.Parallel()
	r := sample(t)
	r.To, r.Findings, r.Violations = `http://<script>alert(1)</script>`, []string{`<img src="http://evil.example/x">`}, 1
	var page strings.Builder
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<(script|link|img|iframe)|(src|href|url)\s*[=(]\s*["']?http|@import|NaN|Inf`).FindString(page.String()); found != "" {
		t.Errorf("the page has %q", found)
	}
	if !strings.Contains(page.String(), "VIOLATED") || !strings.Contains(page.String(), "prefers-color-scheme: dark") {
		t.Error("the page does not say that it was violated, or knows no dark")
	}
}

func TestAReportOfNothingCanBeShown(t *testing.T) {
	t.Parallel()
	for _, r := range []Report{{}, {Asked: 1, Answers: []Count{{Place, Sound, NoAnswer, "none", 1}}, IntervalSeconds: 1, Intervals: make([]Interval, 1)}} {
		var page, text strings.Builder
		if err := r.WriteHTML(&page); err != nil || strings.Contains(page.String(), "NaN") || strings.Contains(page.String(), "Inf") {
			t.Errorf("%v: %s", err, page.String())
		}
		if err := r.Write(&text); err != nil || strings.Contains(text.String(), "NaN") {
			t.Errorf("%v: %s", err, text.String())
		}
	}
}
