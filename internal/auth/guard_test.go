package auth

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/edge"
)

// issue makes a token and adds its line to a file.
func issue(t *testing.T, file, name string, scope Scope) (text string) {
	t.Helper()
	text, line, err := NewToken(name, scope)
	if err != nil {
		t.Fatal(err)
	}
	add(t, file, line+"\n")
	return text
}

func add(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var discard = slog.New(slog.DiscardHandler)

// house is a server behind a guard that answers everything with the caller's name.
type house struct {
	*testing.T
	*httptest.Server

	guard  *Guard
	tokens map[Scope]string
}

func build(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, tokens: make(map[Scope]string)}
	file := filepath.Join(t.TempDir(), "tokens")
	for _, scope := range []Scope{Read, Command, Admin} {
		h.tokens[scope] = issue(t, file, "a-"+scope.String(), scope)
	}
	var err error
	if h.guard, err = (Flags{TokenFile: file}).Guard(discard); err != nil {
		t.Fatal(err)
	}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "caller "+Caller(r.Context()))
	}))
	h.guard.Protect(h.Config)
	h.Start()
	t.Cleanup(h.Close)
	return h
}

// reply is an answer that was read.
type reply struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request as it stands, with a value of Authorization unless that is "".
func (h *house) ask(method, target, authorization string) reply {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), method, h.URL, nil)
	if err != nil {
		h.Fatal(err)
	}
	r.URL.Opaque = target
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := h.Client().Do(r)
	if err != nil {
		h.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		h.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(body)}
}

func basicOf(t *testing.T, user, password string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestEachRequestTakesTheScopeOfItsMethodAndHarm(t *testing.T) {
	t.Parallel()
	h := build(t)
	for _, tt := range []struct {
		method, path string
		need         Scope // 0: none
	}{
		{"GET", "/livez", 0},
		{"HEAD", "/readyz", 0},
		{"GET", "/readyz?verbose", 0},
		{"POST", "/livez", Command},
		{"DELETE", "/readyz", Admin},
		{"OPTIONS", "/livez", Read},
		{"GET", "//livez", Read},
		{"GET", "/livez/", Read},
		{"GET", "/x/../livez", Read},
		{"GET", "/LIVEZ", Read},
		{"GET", "/metrics?/livez", Read},
		{"GET", "/", Read},
		{"GET", "/metrics", Read},
		{"HEAD", "/v1/orders/x", Read},
		{"GET", "/nowhere", Read},
		{"OPTIONS", "*", Read},
		{"POST", "/v1/orders", Command},
		{"PUT", "/v1/orders", Command},
		{"PATCH", "/v1/orders", Command},
		{"DELETE", "/v1/customers/7", Admin},
		{"TRACE", "/", Admin},
		{"BREW", "/pot", Admin},
		{"GET", "/debug/pprof/heap", Admin},
		{"GET", "/v1/customers/7", Admin}, // who it is
		{"GET", "/v1/customers/7/orders", Read},
		{"GET", "/%64ebug/pprof/heap", Admin},
		{"POST", "/api/chaos/kill", Admin},
	} {
		for scope := Scope(0); scope <= Admin; scope++ {
			want, authorization := http.StatusOK, ""
			if scope > 0 {
				authorization = "Bearer " + h.tokens[scope]
			}
			switch {
			case scope >= tt.need:
			case scope == 0:
				want = http.StatusUnauthorized
			default:
				want = http.StatusForbidden
			}
			if got := h.ask(tt.method, tt.path, authorization).code; got != want {
				t.Errorf("%s %s with a token of scope %d is answered %d, want %d", tt.method, tt.path, scope, got, want)
			}
		}
	}
}

func TestARefusalSaysWhatWouldBeTaken(t *testing.T) {
	t.Parallel()
	h := build(t)
	for name, tt := range map[string]struct {
		method, path, authorization string
		kind                        edge.Kind
		challenges                  []string
	}{
		"none": {
			"GET", "/metrics", "", edge.Unauthenticated,
			[]string{`Bearer realm="foodpipeline", scope="read"`, `Basic realm="foodpipeline", charset="UTF-8"`},
		},
		"none to a command": {"POST", "/v1/orders", "", edge.Unauthenticated, []string{`Bearer realm="foodpipeline", scope="command"`}},
		"a wrong one": {
			"GET", "/metrics", "Bearer wrong", edge.Unauthenticated,
			[]string{`Bearer realm="foodpipeline", scope="read", error="invalid_token"`, `Basic realm="foodpipeline", charset="UTF-8"`},
		},
		"too small a one": {
			"POST", "/v1/orders", "Bearer " + h.tokens[Read], edge.InsufficientScope,
			[]string{`Bearer realm="foodpipeline", scope="command", error="insufficient_scope"`},
		},
	} {
		answer := h.ask(tt.method, tt.path, tt.authorization)
		var problem edge.Document
		if err := json.Unmarshal([]byte(answer.body), &problem); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := answer.header["Www-Authenticate"]; !slices.Equal(got, tt.challenges) {
			t.Errorf("%s: challenged by %q, want %q", name, got, tt.challenges)
		}
		if problem.Type != "/problems/"+tt.kind.Name || problem.Status != tt.kind.Status || answer.code != tt.kind.Status {
			t.Errorf("%s: got %d %+v, want %s", name, answer.code, problem, tt.kind.Name)
		}
		if answer.header.Get("Content-Type") != "application/problem+json" || problem.Instance != "urn:uuid:"+answer.header.Get("X-Request-Id") {
			t.Errorf("%s: headers %v, problem %+v", name, answer.header, problem)
		}
	}
}

func TestATokenComesAsBearerOrToReadAsThePasswordOfBasic(t *testing.T) {
	t.Parallel()
	h := build(t)
	token := h.tokens[Admin]
	for authorization, want := range map[string]int{
		"Bearer " + token: 200, "bearer " + token: 200, "BEARER  " + token + " ": 200, "Bearer " + token + "x": 401, "Bearer " + token[1:]: 401,
		"Bearer": 401, "Bearer ": 401, token: 401, "Token " + token: 401, "Basic " + token: 401,
		basicOf(t, "", token): 200, basicOf(t, "anybody", token): 200, basicOf(t, token, ""): 401, basicOf(t, "x", "x"): 401,
	} {
		if got := h.ask(http.MethodGet, "/", authorization).code; got != want {
			t.Errorf("%q is answered %d, want %d", authorization, got, want)
		}
	}
	for _, target := range []string{"/?access_token=" + token, "/?token=" + token, "/" + token} {
		if got := h.ask(http.MethodGet, target, "").code; got != 401 {
			t.Errorf("a token in the URL is answered %d", got)
		}
	}
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "OPTIONS": 200, "POST": 401, "PUT": 401, "DELETE": 401} {
		if got := h.ask(method, "/", basicOf(t, "", token)).code; got != want {
			t.Errorf("%s by Basic, which a browser sends for any site, is answered %d, want %d", method, got, want)
		}
	}
	if got := h.ask(http.MethodGet, "/debug/pprof/profile", basicOf(t, "", token)).code; got != 401 {
		t.Errorf("a profile by Basic is answered %d", got)
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	h := build(t)
	for range 2 {
		h.ask(http.MethodGet, "/", "")
	}
	h.ask(http.MethodGet, "/", "Bearer wrong")
	h.ask(http.MethodPost, "/", "Bearer "+h.tokens[Read])
	h.ask(http.MethodGet, "/livez", "")
	h.ask(http.MethodGet, "/", "Bearer "+h.tokens[Read])
	const want = `# HELP http_requests_refused_total Requests that were not let in: 401, without a token of the token file; 403, with one whose scope does not allow it.
# TYPE http_requests_refused_total counter
http_requests_refused_total{code="401"} 3
http_requests_refused_total{code="403"} 1
`
	if err := testutil.CollectAndCompare(h.guard, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestTheCallerIsNamed(t *testing.T) {
	t.Parallel()
	h := build(t)
	for authorization, want := range map[string]string{"Bearer " + h.tokens[Command]: "caller a-command", basicOf(t, "x", h.tokens[Read]): "caller a-read"} {
		if got := h.ask(http.MethodGet, "/", authorization).body; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNoTokenIsInALog(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	file := filepath.Join(t.TempDir(), "tokens")
	token := issue(t, file, "a", Read)
	guard, err := Flags{TokenFile: file}.Guard(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug - 4})))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	guard.Protect(server)
	for _, target := range []string{"/v1/orders", "/?token=" + token} {
		for _, authorization := range []string{"", "Bearer " + token, "Bearer no-" + token, basicOf(t, "", token)} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, nil)
			r.Header.Set("Authorization", authorization)
			server.Handler.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	if !strings.Contains(log.String(), "request refused") || strings.Contains(log.String(), token) {
		t.Errorf("want refusals without the token in the log:\n%s", &log)
	}
}

func TestItIsSaidWhereEverybodyMayAsk(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	issue(t, file, "a", Read)
	for _, tt := range []struct {
		file, ip string
		said     bool
	}{{"", "127.0.0.1", false}, {"", "::1", false}, {"", "::", true}, {"", "192.0.2.7", true}, {file, "::", false}} {
		var log strings.Builder
		guard, err := Flags{TokenFile: tt.file}.Guard(slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		guard.Announce(&net.TCPAddr{IP: net.ParseIP(tt.ip), Port: 7481})
		if said := strings.Contains(log.String(), "no token is asked for"); said != tt.said {
			t.Errorf("at %s with the token file %q: the log says %q", tt.ip, tt.file, &log)
		}
	}
}

func TestWithoutATokenFileNothingIsAsked(t *testing.T) {
	t.Parallel()
	server := &http.Server{Handler: http.NotFoundHandler()}
	new(Guard).Protect(server)
	w := httptest.NewRecorder()
	server.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/debug/pprof/", nil))
	if w.Code != http.StatusNotFound || server.TLSConfig != nil {
		t.Errorf("got %d, TLS %v; want the handler's own answer, over plain HTTP", w.Code, server.TLSConfig)
	}
}
