package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/console"
	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
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
	sees("another rate", func(s console.Snapshot) bool { return s.Pipe.API.Rate > 44 })
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

// A relay that is still to be paused or cut off for long when somebody presses Ctrl-C does not keep events from arriving.
func TestInterruptEndsWhatWasBrokenSoThatEverythingArrives(t *testing.T) {
	t.Parallel()
	_, flags, _ := place(t)
	p := foodctl(t, append(flags, "--allow-chaos", "--rate=40")...)
	url, token, _ := strings.Cut(p.until("the page", func(l line) bool { return l.Page != "" }).Page, "/#token=")
	p.flowing()
	if code, body := request(t, http.MethodPost, url+"/api/chaos/pause", token, `{"target":"relay","seconds":120}`); code != http.StatusOK {
		t.Fatalf("pause: %d, %s", code, body)
	}
	p.until("events wait", func(l line) bool { return l.Written-l.Applied > 100 })
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.until("the notice", func(l line) bool { return strings.HasPrefix(l.Notice, "stopping") })
	var last line
	for l := range p.lines {
		if l.Written > 0 {
			last = l
		}
	}
	if last.Applied != last.Written || last.Written == 0 {
		t.Errorf("%d of %d events had arrived at the end", last.Applied, last.Written)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

// broken is a listener that takes nobody in.
type broken struct{ net.Listener }

var errBroken = errors.New("for a test")

func (broken) Accept() (net.Conn, error) { return nil, errBroken }

func TestAPageThatCannotBeServedEndsWhatIsDoneMeanwhile(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := "postgres://127.0.0.1:1/nothing"
	cfg := console.Config{OrdersURL: nowhere, ReadModelURL: nowhere, Brokers: []string{"127.0.0.1:1"}, Topic: "none", Log: slog.New(slog.DiscardHandler)}
	page, err := openPage(t.Context(), cfg, broken{listener}, new(auth.Guard))
	if err != nil {
		t.Fatal(err)
	}
	served, stop := page.served(t.Context())
	defer stop()
	select {
	case <-served.Done():
	case <-time.After(limit):
		t.Error("it goes on without a page")
	}
	if cause := context.Cause(served); !errors.Is(cause, errUnserved) {
		t.Errorf("it ended: %v", cause)
	}
	if err := page.close(); !errors.Is(err, errBroken) {
		t.Errorf("closed: %v, want %v", err, errBroken)
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
