package query

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzNoInputIsOurFault gives the API parameters and headers of any shape: the answer is never a 5xx, but for what is not there
// yet, and it is always of the declared kind.
func FuzzNoInputIsOurFault(f *testing.F) {
	s := setup(f)
	id := s.filled(3, 60)[0].Order.String()
	position := s.position()
	names := []string{"at", "at_version", "after", "limit", "cursor", "fulfilment", "from", "to", "read_after", "other"}
	values := []string{
		"", "1", "0", "-1", "9223372036854775807", "9223372036854775808", "1e3", "\x00", "%", "\xff", "placed",
		"2026-11-23T10:00:00Z", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z",
		newest.String(), oldest.String(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "_____________________________________w",
		id + "@1", id + "@999999999999999999", id + "@0", position, "@", "0:999999999999999999" + position[strings.Index(position, "@"):], "1023:0@",
	}
	for i, v := range values {
		for n := range names {
			f.Add(byte(i+n), byte(n), v, byte(n+1), v, "", "wait=0", "")
		}
		f.Add(byte(i), byte(0), "", byte(0), "", v, v, v)
	}
	f.Fuzz(func(t *testing.T, path, name1 byte, value1 string, name2 byte, value2, after, prefer, lastID string) {
		query := make(url.Values)
		for name, value := range map[byte]string{name1: value1, name2: value2} {
			if value != "" {
				query.Set(names[int(name)%len(names)], value)
			}
		}
		target := strings.ReplaceAll(everywhere[int(path)%len(everywhere)], "%s", id)
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, target+separator+query.Encode(), nil)
		if strings.Contains(target, "/changes") {
			r.Method = http.MethodHead // or it would go on for ever
		}
		for header, value := range map[string]string{"Read-After": after, "Prefer": "wait=0, " + prefer, "Last-Event-ID": lastID} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		got := reply{w.Code, w.Header(), w.Body.String()}
		switch {
		case got.code == http.StatusServiceUnavailable && got.problem(t).Type == "/problems/not-yet":
		case got.code >= http.StatusInternalServerError:
			t.Errorf("%s: got %d %s: %s", r.URL, got.code, got.body, s.log)
		case got.code >= http.StatusBadRequest:
			got.problem(t)
		case got.code != http.StatusOK:
			t.Errorf("%s: got %d", r.URL, got.code)
		}
	})
}
