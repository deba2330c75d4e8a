package console

import (
	"bytes"
	"errors"
	"flag"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func rendered(t *testing.T, v view) string {
	t.Helper()
	var page bytes.Buffer
	if err := renderPage(&page, v); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// fallback is what a browser without scripts shows of a page.
func fallback(t *testing.T, v view) string {
	t.Helper()
	_, rest, has := strings.Cut(rendered(t, v), `<main class="plain">`)
	body, _, ends := strings.Cut(rest, "</main>")
	if !has || !ends {
		t.Fatal("the page has no part for browsers without scripts")
	}
	return body
}

func TestWithoutScriptsThePageIsATableOfTheSameNumbers(t *testing.T) {
	t.Parallel()
	got := fallback(t, view{Snapshot: mismatched(5), Version: "v1.4.0"})
	const golden = "testdata/plain.html"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (go test ./foodctl/console -update writes it anew):\n%s", diff)
	}
}

func TestWithoutScriptsThePageLoadsItselfAgain(t *testing.T) {
	t.Parallel()
	head, _, _ := strings.Cut(rendered(t, view{Snapshot: scene(1)}), "</head>")
	if _, noscript, has := strings.Cut(head, "<noscript>"); !has || !strings.Contains(noscript, `<meta http-equiv="refresh" content="5">`) {
		t.Error("there is no refresh in the head's noscript")
	}
}

func TestWithoutScriptsASlotsStateIsSaidInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slot Slot
		want string
	}{
		{Slot{}, "there is no slot"},
		{Slot{Exists: true, Lost: true}, "it is lost: run relay recover"},
		{Slot{Exists: true, Safe: new(int64(1234567)), LostSeconds: new(3725.4)}, "1h2m5s"},
		{Slot{Exists: true, Safe: new(int64(1234567))}, "1,234,567 bytes"},
		{Slot{Exists: true}, "without limit"},
	} {
		if got := untilLost(c.slot); got != c.want {
			t.Errorf("%+v: %q, want %q", c.slot, got, c.want)
		}
	}
}

func TestDataIsNeverMarkup(t *testing.T) {
	t.Parallel()
	const evil = `</script><script>alert("x")</script>`
	s := scene(1)
	s.Verdict.Text = evil
	s.Trouble = []string{evil}
	if page := rendered(t, view{Snapshot: s, Chaos: true, Targets: []string{evil}, Version: evil}); strings.Contains(page, evil) {
		t.Error("the text of a snapshot stands in the page as it is")
	}
}

// There is nothing inline and nothing from elsewhere: csp would refuse it.
func TestThePageKeepsItsOwnPolicy(t *testing.T) {
	t.Parallel()
	page := rendered(t, view{Snapshot: scene(1), Chaos: true, Targets: []string{"relay"}})
	for what, pattern := range map[string]string{
		"a script of its own": `<script(?:\s[^>]*)?>`, "a style": `<style`, "a style attribute": `\sstyle=`, "a handler": `\son[a-z]+=`,
		"something from elsewhere": `(?:src|href)="(?:https?:)?//`,
	} {
		for _, tag := range regexp.MustCompile(pattern).FindAllString(page, -1) {
			if !strings.Contains(tag, "src=") && !strings.Contains(tag, `type="application/json"`) {
				t.Errorf("the page has %s: %s", what, tag)
			}
		}
	}
}

func TestWhatThePageRefersToIsServed(t *testing.T) {
	t.Parallel()
	page := rendered(t, view{Snapshot: scene(1)})
	links := regexp.MustCompile(`(?:src|href)="(static/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 6 {
		t.Fatalf("the page refers to %d files", len(links))
	}
	for _, link := range links {
		if res := get("/"+html.UnescapeString(link[1]), ""); res.Code != http.StatusOK {
			t.Errorf("%s: %d", link[1], res.Code)
		}
	}
}

func TestABrowserThatHasAFileIsSentItOnlyOnce(t *testing.T) {
	t.Parallel()
	first := get("/static/app.js", "")
	if got := first.Header().Get("Content-Type"); got != "text/javascript; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	if got := first.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("cache control %q", got)
	}
	if again := get("/static/app.js", first.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("the second time: %d", again.Code)
	}
	for _, path := range []string{"/static/", "/static/none.js", "/static/../page.go"} {
		if res := get(path, ""); res.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.Code)
		}
	}
}

func get(path, etag string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("If-None-Match", etag)
	w := httptest.NewRecorder()
	staticFiles().ServeHTTP(w, req)
	return w
}

// full is a writer without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestAPageThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	if err := renderPage(full{}, view{Snapshot: scene(1)}); err == nil {
		t.Error("no error")
	}
}
