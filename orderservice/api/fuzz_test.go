package api

import (
	"net/http"
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
		`{"customer_id":2147483648,"service":"pickup","lines":[{"item_id":1,"quantity":1}]}`,
	} {
		f.Add(byte(i), body, `"key"`, `"1"`, "id")
		f.Add(byte(0), body, "", "", "")
	}
	f.Fuzz(func(t *testing.T, path byte, body, key, match, correlation string) {
		var headers []string
		for _, h := range [][2]string{{"Idempotency-Key", key}, {"If-Match", match}, {"Correlation-Id", correlation}} {
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
