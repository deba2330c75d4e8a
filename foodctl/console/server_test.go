package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// bare is a console that looks at nothing: a test publishes its snapshots.
func bare(t *testing.T, cfg Config) (*Console, *httptest.Server) {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	c := &Console{cfg: cfg, arrivals: newArrivals(), hub: newHub(), health: ops.NewHealth(firstLook)}
	server := httptest.NewServer(c.Handler(ops.Registry()))
	t.Cleanup(func() {
		c.hub.close()
		server.Close()
	})
	return c, server
}

// listen reads a stream's events until ctx ends.
func listen(ctx context.Context, t *testing.T, url string) (kinds func() (kind string, data []byte)) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return func() (kind string, data []byte) {
		t.Helper()
		for lines.Scan() {
			if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
				kind = name
			}
			if text, is := strings.CutPrefix(lines.Text(), "data: "); is {
				return kind, []byte(text)
			}
		}
		return "", nil
	}
}

func TestAStreamBeginsWithWhatTheChartNeeds(t *testing.T) {
	t.Parallel()
	c, server := bare(t, Config{})
	for i := range int64(3) {
		c.hub.publish(&Snapshot{Number: i + 1})
	}
	for range 2 { // the second time it comes again
		next := listen(t.Context(), t, server.URL)
		kind, data := next()
		var points []Point
		if err := json.Unmarshal(data, &points); err != nil || kind != "history" || len(points) != 3 {
			t.Fatalf("first came %s, %v, %d points; want the history of 3", kind, err, len(points))
		}
		for _, want := range []int64{3, 4} {
			kind, data = next()
			var s Snapshot
			if err := json.Unmarshal(data, &s); err != nil || kind != "snapshot" || s.Number != want {
				t.Fatalf("then came %s, %v, number %d; want snapshot %d", kind, err, s.Number, want)
			}
			if want == 3 {
				c.hub.publish(&Snapshot{Number: 4})
			}
		}
		c.hub.points, c.hub.newest = c.hub.points[:3], &Snapshot{Number: 3}
	}
}

func TestAStreamThatIsOnlyAskedAboutIsNotBegun(t *testing.T) {
	t.Parallel()
	c, server := bare(t, Config{})
	for range 2 { // the second would wait for the first on its connection
		if got := do(t, http.MethodHead, server.URL+"/events", "", nil); got.code != http.StatusOK || got.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("answered %d %v", got.code, got.header)
		}
	}
	if c.hub.watched() {
		t.Error("a stream is left")
	}
}

func TestStreamsEndWithTheConsole(t *testing.T) {
	t.Parallel()
	c, server := bare(t, Config{})
	next := listen(t.Context(), t, server.URL)
	next() // the history
	c.hub.close()
	if kind, _ := next(); kind != "" {
		t.Errorf("then came %q, want the end", kind)
	}
	if got := do(t, http.MethodGet, server.URL+"/events", "", nil); got.code != http.StatusServiceUnavailable {
		t.Errorf("a new stream is answered %d, want 503", got.code)
	}
}

// reply is an answer that was read.
type reply struct {
	code   int
	header http.Header
	body   string
}

func do(t *testing.T, method, url, body string, change func(*http.Request)) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(text)}
}

func TestOnlyThisMachinesNamesAreAnswered(t *testing.T) {
	t.Parallel()
	c, server := bare(t, Config{})
	c.hub.publish(&Snapshot{Number: 1})
	for host, want := range map[string]int{
		"": http.StatusOK, "localhost:7480": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:7480": http.StatusOK, "192.168.1.7:7480": http.StatusOK,
		"evil.example": http.StatusMisdirectedRequest, "evil.example:7480": http.StatusMisdirectedRequest,
	} {
		answer := do(t, http.MethodGet, server.URL+"/api/snapshot", "", func(r *http.Request) { r.Host = host })
		if answer.code != want {
			t.Errorf("host %q is answered %d, want %d", host, answer.code, want)
		}
		if got := answer.header.Get("Content-Security-Policy"); want == http.StatusOK && got != csp {
			t.Errorf("content security policy %q", got)
		}
	}
}

// breaker notes what it is to break.
type breaker struct{ did chan string }

func (b breaker) Kill(name string) (int, error) {
	b.did <- "kill " + name
	return 4711, nil
}

func (b breaker) Pause(_ context.Context, name string, d time.Duration) error {
	b.did <- "pause " + name + " " + d.String()
	return nil
}

func (b breaker) Partition(context.Context, string, time.Duration) error {
	return errors.New("there is no cable")
}

func (b breaker) SetRate(float64) error {
	b.did <- "rate"
	return nil
}

func TestThingsAreBrokenOnlyWithTheToken(t *testing.T) {
	t.Parallel()
	const token = "a-secret"
	b := breaker{make(chan string, 1)}
	_, sound := bare(t, Config{})
	c, server := bare(t, Config{Breaker: b, Token: token})
	bear := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	for name, tt := range map[string]struct {
		url, verb, body string
		change          func(*http.Request)
		code            int
		did             string
	}{
		"not allowed":   {sound.URL, "kill", `{"target":"relay"}`, bear(""), http.StatusForbidden, ""},
		"no token":      {server.URL, "kill", `{"target":"relay"}`, nil, http.StatusForbidden, ""},
		"another token": {server.URL, "kill", `{"target":"relay"}`, bear("guess"), http.StatusForbidden, ""},
		"no body":       {server.URL, "kill", ``, bear(token), http.StatusBadRequest, ""},
		"no target":     {server.URL, "kill", `{}`, bear(token), http.StatusBadRequest, ""},
		"too long":      {server.URL, "pause", `{"target":"relay","seconds":1000}`, bear(token), http.StatusBadRequest, ""},
		"no such verb":  {server.URL, "melt", `{"target":"relay"}`, bear(token), http.StatusBadRequest, ""},
		"no field":      {server.URL, "kill", `{"victim":"relay"}`, bear(token), http.StatusBadRequest, ""},
		"not broken":    {server.URL, "partition", `{"target":"relay","seconds":1}`, bear(token), http.StatusConflict, ""},
		"kill":          {server.URL, "kill", `{"target":"relay"}`, bear(token), http.StatusOK, "kill relay"},
		"pause":         {server.URL, "pause", `{"target":"relay","seconds":1.5}`, bear(token), http.StatusOK, "pause relay 1.5s"},
		"rate":          {server.URL, "rate", `{"orders_per_second":20}`, bear(token), http.StatusOK, "rate"},
	} {
		answer := do(t, http.MethodPost, tt.url+"/api/chaos/"+tt.verb, tt.body, tt.change)
		if answer.code != tt.code {
			t.Errorf("%s: answered %d: %s; want %d", name, answer.code, answer.body, tt.code)
		}
		if strings.Contains(answer.body, token) {
			t.Errorf("%s: the token is in the answer: %s", name, answer.body)
		}
		did := ""
		select {
		case did = <-b.did:
		default:
		}
		if did != tt.did {
			t.Errorf("%s: did %q, want %q", name, did, tt.did)
		}
	}
	c.hub.publish(&Snapshot{Number: 1})
	if marks := c.hub.snapshot().Marks; len(marks) != 3 || marks[0].Kind != MarkChaos {
		t.Errorf("marks %v, want one for each of the three that were done", marks)
	}
}
