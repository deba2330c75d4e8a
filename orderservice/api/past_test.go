package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestOrderIsShownAsItWas(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	var answers []reply
	for _, verb := range []string{"", "/pay", "/expire"} {
		if verb != "" {
			if r := s.post(path+verb, ``); r.code != http.StatusOK {
				t.Fatalf("%s: got %d %s", verb, r.code, r.body)
			}
		}
		answers = append(answers, s.get(path))
	}
	for _, then := range answers {
		at := then.order(t).UpdatedAt.Format(time.RFC3339Nano)
		for _, query := range []string{fmt.Sprint("version=", then.order(t).Version), "at=" + url.QueryEscape(at)} {
			r := s.get(path + "?" + query)
			if r.code != http.StatusOK || r.body != then.body || r.header.Get("ETag") != then.header.Get("ETag") {
				t.Errorf("%s: got %d %s, want what GET said then: %s", query, r.code, r.body, then.body)
			}
		}
	}
	before := url.QueryEscape(answers[0].order(t).PlacedAt.Add(-time.Microsecond).Format(time.RFC3339Nano))
	for query, code := range map[string]int{
		"version=5": 404, "at=0001-01-01T00:00:00Z": 404, "at=" + before: 404, "version=1&at=" + before: 404, "version=0": 400, "version=": 400, "version=1&version=2": 400,
		"at=yesterday": 400, "version=one": 400, "unknown=1": 400, "%zz": 400,
	} {
		if r := s.get(path + "?" + query); r.code != code {
			t.Errorf("%s: got %d %s, want %d", query, r.code, r.body, code)
		}
	}
}

func TestOrderThatTheCallerHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	for _, p := range []string{path, path + "/events"} {
		for header, code := range map[string]int{`"1"`: 304, `W/"1"`: 304, `"0", "1"`: 304, `*`: 304, `"2"`: 200, `1`: 200} {
			r := s.send(http.MethodGet, p, nil, "If-None-Match", header)
			if r.code != code || r.header.Get("ETag") != `"1"` || r.header.Get("Cache-Control") != "no-cache" || (code == 304) != (r.body == "") {
				t.Errorf("%s with %s: got %d %q, ETag %s, want %d", p, header, r.code, r.body, r.header.Get("ETag"), code)
			}
		}
	}
	s.post(path+"/pay", ``)
	if r := s.send(http.MethodGet, path, nil, "If-None-Match", `"1"`); r.code != http.StatusOK {
		t.Errorf("after a change: got %d, want the order", r.code)
	}
}

// follow reads all pages of a list by their Link headers.
func (s *service) follow(path, list string) (items []json.RawMessage, pages int) {
	s.t.Helper()
	for path != "" {
		r := s.get(path)
		var body map[string]json.RawMessage
		var more []json.RawMessage
		if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.code != http.StatusOK {
			s.t.Fatalf("%s: got %d %s (%v)", path, r.code, r.body, err)
		}
		if err := json.Unmarshal(body[list], &more); err != nil {
			s.t.Fatal(err)
		}
		items = append(items, more...)
		pages++
		path, _, _ = strings.Cut(strings.TrimPrefix(r.header.Get("Link"), "<"), ">")
	}
	return items, pages
}

func TestPagesTogetherAreTheList(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := s.placed()
	s.post(order+"/pay", ``)
	s.post(order+"/expire", ``) // and the payment is voided
	for _, c := range []struct {
		path, list   string
		items, pages int
	}{
		{"/v1/menu?limit=7", "items", 20, 3},
		{"/v1/menu?limit=10", "items", 20, 2},
		{"/v1/menu", "items", 20, 1},
		{"/v1/menu?after=20", "items", 0, 1},
		{order + "/events?limit=1", "events", 4, 4},
		{order + "/events?limit=3", "events", 4, 2},
		{order + "/events?after=3", "events", 1, 1},
		{order + "/events?after=99", "events", 0, 1},
	} {
		items, pages := s.follow(c.path, c.list)
		if len(items) != c.items || pages != c.pages {
			t.Errorf("%s: got %d items on %d pages, want %d on %d", c.path, len(items), pages, c.items, c.pages)
		}
		seen := make(map[string]bool)
		for _, i := range items {
			if seen[string(i)] {
				t.Errorf("%s: twice: %s", c.path, i)
			}
			seen[string(i)] = true
		}
	}
	for _, bad := range []string{"limit=0", "limit=1001", "after=-1"} {
		if r := s.get("/v1/menu?" + bad); r.code != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 400", bad, r.code)
		}
	}
}
