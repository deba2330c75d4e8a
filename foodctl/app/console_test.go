package app

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/console"
)

func TestUpIsBrokenFromItsPageAndThePageSeesIt(t *testing.T) {
	t.Parallel()
	_, flags, _ := place(t)
	p := foodctl(t, append(flags, "--allow-chaos", "--rate=40")...)
	url, token, has := strings.Cut(p.until("the page", func(l line) bool { return l.Page != "" }).Page, "/#token=")
	if !has {
		t.Fatal("there is no token in the page's address")
	}
	sees := func(what string, is func(console.Snapshot) bool) (s console.Snapshot) {
		t.Helper()
		for began := time.Now(); !is(s); {
			if time.Since(began) > limit {
				t.Fatalf("the page does not see %s; it sees %+v", what, s)
			}
			s = console.Snapshot{}
			code, body := request(t, http.MethodGet, url+"/api/snapshot", "", "")
			if err := json.Unmarshal(body, &s); err != nil && code == http.StatusOK {
				t.Fatal(err)
			}
		}
		return s
	}
	sees("events flow", func(s console.Snapshot) bool { return s.Verdict.State == console.InSync && s.Audit.Compared > 100 })
	if code, body := request(t, http.MethodGet, url+"/", "", ""); code != http.StatusOK || !strings.Contains(string(body), "<title>") {
		t.Errorf("the page: %d, %.100s", code, body)
	}
	for _, fault := range []struct{ verb, body string }{
		{"kill", `{"target":"projector-1"}`},
		{"pause", `{"target":"projector-2","seconds":1}`},
		{"partition", `{"target":"relay","seconds":3}`},
		{"rate", `{"orders_per_second":60}`},
	} {
		if code, body := request(t, http.MethodPost, url+"/api/chaos/"+fault.verb, token, fault.body); code != http.StatusOK {
			t.Errorf("%s: %d, %s", fault.verb, code, body)
		}
	}
	sees("another rate", func(s console.Snapshot) bool { return s.Pipe.API.Rate > 50 })
	if code, body := request(t, http.MethodPost, url+"/api/chaos/kill", token, `{"target":"relay"}`); code != http.StatusOK {
		t.Fatalf("kill: %d, %s", code, body)
	}
	sees("that the relay came back", func(s console.Snapshot) bool {
		return s.Verdict.State == console.CameBack
	})
	before := sees("what was broken", func(s console.Snapshot) bool { return s.Verdict.State == console.InSync }).Audit
	if before.Duplicates+before.Missing+before.Holes+before.Foreign+before.Mismatched+before.Unapplied != 0 {
		t.Errorf("the audit counts %+v", before)
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

func request(t *testing.T, method, url, token, body string) (code int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	answer, err = io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, answer
}
