package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzNoInputIsOurFault gives the API bodies and headers of any shape: the answer is never a 5xx, and it is always JSON of
// the declared kind.
func FuzzNoInputIsOurFault(f *testing.F) {
	s := setup(f)
	paths := []string{"/v1/orders"}
	order := s.placed()
	for _, verb := range s.verbs() {
		paths = append(paths, order+"/"+verb)
	}
	for i, body := range []string{
		soup, ``, `{}`, `{"reason":"\ud800"}`, `{"amount":{"minor":9223372036854775807,"currency":"EUR"},"reason":"x"}`,
		`{"ready_at":"9999-12-31T23:59:59Z"}`, `{"item_id":-1}`, `{"by":"kitchen","reason":"x"}`, `{"stars":1e2}`, `{"courier":"\u0000"}`,
		`{"customer_id":1e400}`, `{"amount":{"minor":-1e500}}`, `{"amount":{"minor":1e2,"currency":"EUR"},"reason":"x"}`,
		`{"customer_id":2147483648,"service":"pickup","lines":[{"item_id":1,"quantity":1}]}`,
	} {
		f.Add(byte(i), body, `"key"`, `"1"`, "id", "application/json")
		f.Add(byte(0), body, "", "", "", "Application/JSON ; charset=utf-8")
		f.Add(byte(i), body, "", "", "", `application/json; x="a+b"`)
		f.Add(byte(i), "", "", "", "", "application/x-www-form-urlencoded")
	}
	f.Fuzz(func(t *testing.T, path byte, body, key, match, correlation, media string) {
		var headers []string
		for _, h := range [][2]string{{"Idempotency-Key", key}, {"If-Match", match}, {"Correlation-Id", correlation}, {"Content-Type", media}} {
			if h[1] != "" && !strings.ContainsAny(h[1], "\r\n") {
				headers = append(headers, h[0], h[1])
			}
		}
		r := s.post(paths[int(path)%len(paths)], body, headers...)
		switch {
		case r.code >= http.StatusInternalServerError:
			t.Errorf("got %d %s: %s", r.code, r.body, s.output)
		case r.code >= http.StatusBadRequest:
			r.problem(t)
		default:
			r.order(t)
		}
	})
}

// FuzzNoQueryIsOurFault gives the API paths and queries of any shape.
func FuzzNoQueryIsOurFault(f *testing.F) {
	s := setup(f)
	order := strings.TrimPrefix(s.placed(), "/v1/orders/")
	paths := []string{"/v1/menu", "/v1/orders/{id}", "/v1/orders/{id}/events", "/v1/orders/{id}/pay", "/docs/{id}", "/{id}"}
	for i, query := range []string{
		"", "version=1", "version=-1", "version=9223372036854775808", "at=2026-11-28T12:00:00Z", "at=+292277026596-01-01T00:00:00Z", "at=0000-00-00T00:00:00Z",
		"after=1&limit=1", "limit=1000000", "after=%00", "limit=1&limit=2", "%zz", "version=1;at=2", "&&&", "version",
	} {
		f.Add(byte(i), order, query, `"1"`)
		f.Add(byte(i), "\x00", query, `W/"`)
		f.Add(byte(1), order, query, "")
		f.Add(byte(2), order, query, "")
	}
	f.Fuzz(func(t *testing.T, path byte, id, query, match string) {
		target := url.URL{Path: strings.ReplaceAll(paths[int(path)%len(paths)], "{id}", id), RawQuery: query}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL = &target
		if !strings.ContainsAny(match, "\r\n") {
			r.Header.Set("If-None-Match", match)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%s: got %d %s: %s", &target, w.Code, w.Body, s.output)
		}
	})
}
