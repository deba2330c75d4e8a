package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/load"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// placingAPI is an orders API that takes every order and answers with a status code.
func placingAPI(t *testing.T, code int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"items":[{"item_id":1,"name":"Soup","price":{"minor":450,"currency":"EUR"}}]}`) // to the test
			return
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"id":%q,"version":1,"fulfilment":"placed"}`, uuid.New())
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestLoadReportsAsTextJSONAndPage(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]int{http.StatusCreated: 0, http.StatusOK: 1} {
		path := filepath.Join(t.TempDir(), "report.html")
		args := "load --to " + placingAPI(t, code) + " --rate 50 --duration 200ms --act 0 --read 0 --html " + path
		var text, object strings.Builder
		err := run(t.Context(), strings.Fields(args), &text, io.Discard)
		if got := ops.Exit(err, io.Discard); got != want || !strings.Contains(text.String(), "asked 10 requests") {
			t.Errorf("%d: exit code %d, want %d: %v\n%s", code, got, want, err, text.String())
		}
		page, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(page), "<!doctype html>") || strings.Contains(string(page), "VIOLATED") != (want == 1) {
			t.Errorf("%d: %v, page %q", code, err, page)
		}
		err = run(t.Context(), strings.Fields(args+" --json"), &object, io.Discard)
		var r load.Report
		if jsonErr := json.Unmarshal([]byte(object.String()), &r); jsonErr != nil || r.Asked != 10 || r.Violated() != (want == 1) {
			t.Errorf("%d: %v, %v: %s", code, jsonErr, err, object.String())
		}
		if files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(files) != 1 {
			t.Errorf("%d: files %q (%v), want the page alone", code, files, err)
		}
	}
}

func TestLoadRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	api := placingAPI(t, http.StatusCreated)
	missing := filepath.Join(t.TempDir(), "none", "report.html")
	for _, tt := range []struct {
		args string
		want string
		code int
	}{
		{"load --to " + api + " --rate 0", "--rate 0", 1},
		{"load --to " + api + " --profile ramp --peak=-5", "--peak -5", 1},
		{"load --to " + api + " --profile wave", "must be one of", 2},
		{"load --to " + api + " --invalid 2", "--invalid 2", 1},
		{"load --to " + api + " --html " + missing, "--html", 2},
		{"load --to kafka://x", "--to is not of the form", 2},
		{"load --to postgres://u:geheim@127.0.0.1:1/orders?connect_timeout=1", "orders database", 1},
		{"load --to http://127.0.0.1:1", "start it", 1},
	} {
		err := run(t.Context(), strings.Fields(tt.args), io.Discard, io.Discard)
		var text strings.Builder
		code := ops.Exit(err, &text)
		if code != tt.code || !strings.Contains(text.String(), tt.want) || strings.Contains(text.String(), "geheim") {
			t.Errorf("%s: exit code %d, %q: want %d and %q", tt.args, code, text.String(), tt.code, tt.want)
		}
	}
}
