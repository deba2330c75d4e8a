package query

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestWhatCannotBeUnderstoodNamesItself(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := "/v1/orders/" + s.filled(2, 30)[0].Order.String()
	for path, want := range map[string]violation{
		"/v1/kitchen?limit=0":                                           {"query", "limit", "range", ""},
		"/v1/kitchen?limit=201":                                         {"query", "limit", "range", ""},
		"/v1/kitchen?limit=ten":                                         {"query", "limit", "range", ""},
		"/v1/kitchen?limit=1&limit=2":                                   {"query", "limit", "repeated", ""},
		"/v1/kitchen?limits=1":                                          {"query", "limits", "unknown_parameter", ""},
		"/v1/kitchen?%zz":                                               {"query", "", "syntax", ""},
		"/v1/kitchen?cursor=x":                                          {"query", "cursor", "cursor", ""},
		"/v1/kitchen?read_after=x":                                      {"query", "read_after", "token", ""},
		"/v1/customers/1/orders?fulfilment=eaten":                       {"query", "fulfilment", "choice", ""},
		"/v1/revenue?from=yesterday":                                    {"query", "from", "time", ""},
		"/v1/revenue?to=0000-01-01T00:00:00Z":                           {"query", "to", "time", ""},
		"/v1/revenue?from=2026-11-23T00:00:00Z&to=2026-11-23T00:00:00Z": {"query", "from", "range", ""},
		"/v1/revenue?from=2026-11-23T00:00:00Z&to=2026-11-25T00:00:00Z": {"query", "from", "range", ""},
		"/v1/items/popular?limit=101":                                   {"query", "limit", "range", ""},
		order + "?at_version=0":                                         {"query", "at_version", "range", ""},
		order + "?at=2026-11-23":                                        {"query", "at", "time", ""},
		order + "?at=2026-11-23T00:00:00Z&at_version=1":                 {"query", "at", "one_of", ""},
		order + "/timeline?after=-1":                                    {"query", "after", "range", ""},
		order + "/changes?after=0:1":                                    {"query", "after", "position", ""},
		order + "/changes?from=now":                                     {"query", "from", "unknown_parameter", ""},
	} {
		r := s.get(path)
		p := r.problem(t)
		if r.code != http.StatusBadRequest || p.Type != "/problems/malformed" || len(p.Errors) != 1 {
			t.Errorf("%s: got %d %s, want 400", path, r.code, r.body)
			continue
		}
		got := p.Errors[0]
		got.Detail = ""
		if got != want || p.Detail == "" || p.Instance != "urn:uuid:"+r.header.Get("X-Request-Id") {
			t.Errorf("%s: got %s, want %+v", path, r.body, want)
		}
	}
	for header, value := range map[string]string{"Read-After": uuid.NewString(), "Last-Event-ID": "7"} {
		r := s.get(order+"/changes", header, value)
		if p := r.problem(t); r.code != http.StatusBadRequest || p.Errors[0].In != "header" || p.Errors[0].Name != header {
			t.Errorf("%s: got %d %s, want 400 for the header", header, r.code, r.body)
		}
	}
	if s.log.String() != "" {
		t.Errorf("bad input was logged: %s", s.log)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, path := range []string{
		"/v1/orders/" + uuid.NewString(), "/v1/orders/" + uuid.NewString() + "/timeline", "/v1/orders/" + uuid.NewString() + "?at_version=1",
		"/v1/orders/42", "/v1/orders/" + strings.ToUpper(uuid.NewString()), "/v1/customers/0/stats", "/v1/customers/01/stats",
		"/v1/customers/2147483648/orders", "/v1/customers/x/changes", "/v1/orders/42/changes", "/v1/nothing", "/", "/v1/orders/42/timeline",
	} {
		if p := s.get(path).problem(t); p.Type != "/problems/not-found" {
			t.Errorf("%s: got %+v, want not found", path, p)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete, "BREW"} {
		r := s.send(method, "/v1/kitchen")
		if p := r.problem(t); r.code != http.StatusMethodNotAllowed || r.header.Get("Allow") != http.MethodGet {
			t.Errorf("%s: got %+v, want that only GET is allowed", method, p)
		}
	}
}

func TestABodyIsRefused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, path := range []string{"/v1/kitchen", "/v1/customers/1/changes"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, strings.NewReader("x")))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: got %d %s, want 400", path, w.Code, w.Body)
		}
	}
}

func TestProblemsExplainThemselves(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, k := range kinds {
		if r := s.get("/problems/" + k.Name); r.code != http.StatusOK || !strings.Contains(r.body, k.Remedy) {
			t.Errorf("%s: got %d %q, want the remedy", k.Name, r.code, r.body)
		}
	}
	if r := s.get("/problems/none"); r.code != http.StatusNotFound {
		t.Errorf("got %d, want 404", r.code)
	}
}

var everywhere = []string{
	"/v1/orders/%s", "/v1/orders/%s?at_version=1", "/v1/orders/%s/timeline", "/v1/orders/%s/changes", "/v1/customers/1/orders",
	"/v1/customers/1/stats", "/v1/customers/1/changes", "/v1/kitchen", "/v1/items/popular", "/v1/revenue",
}

func TestInternalErrorsAreLoggedOnceAndToldToNobody(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := s.filled(2, 30)[0].Order.String()
	s.exec(`ALTER TABLE projection_offsets RENAME COLUMN applied_events TO secret`)
	for _, path := range everywhere {
		r := s.get(strings.ReplaceAll(path, "%s", id))
		r.problem(t)
		if r.code != http.StatusInternalServerError || strings.Contains(r.body, "applied") || strings.Contains(r.body, "column") {
			t.Errorf("%s: got %d %s, want 500 without the inside", path, r.code, r.body)
		}
		if n := strings.Count(s.log.String(), "request_id="+r.header.Get("X-Request-Id")); n != 1 {
			t.Errorf("%s: logged %d times, want once: %s", path, n, s.log)
		}
	}
}

func TestAnAbsentDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	s := setupWith(t, func(c *Config) {
		pool, err := Connect(t.Context(), "postgres://nobody@127.0.0.1:1/readmodel", 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		c.Pool = pool
	})
	for _, path := range everywhere {
		r := s.get(strings.ReplaceAll(path, "%s", uuid.NewString()))
		if p := r.problem(t); r.code != http.StatusServiceUnavailable || p.Type != "/problems/unavailable" || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %s, want 503 and when to come again", path, r.code, r.body)
		}
		if strings.Contains(r.body, "127.0.0.1") || strings.Contains(r.body, "nobody") {
			t.Errorf("the answer tells the database's address: %s", r.body)
		}
	}
	if _, err := Connect(t.Context(), "postgres://a:s3cret@[", 1, nil); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a URL that is none: %v, want an error without the password", err)
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	s := setupWith(t, func(c *Config) { c.InFlight = 1 })
	first := make(chan reply)
	go func() {
		first <- s.get("/v1/kitchen", "Read-After", token{uuid.New(), 1}.String(), "Prefer", "wait=30")
	}()
	s.someoneWaits(1)
	r := s.get("/v1/kitchen")
	if p := r.problem(t); r.code != http.StatusServiceUnavailable || p.Type != "/problems/busy" || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want busy", r.code, r.body)
	}
	s.stop()
	<-first
	if r := s.get("/v1/kitchen"); r.code != http.StatusOK {
		t.Errorf("afterwards: got %d %s", r.code, r.body)
	}
}

func TestAPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	a := &API{inFlight: make(chan struct{}, 1)}
	r := &request{Request: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)}
	_, err := a.admitted(t.Context(), r, nil)
	if err == nil || problemOf(err).kind.Name != internal.Name || !strings.Contains(err.Error(), "edge.go") {
		t.Errorf("got %v, want an internal error with the stack", err)
	}
	if len(a.inFlight) != 0 {
		t.Error("the panic kept its place among the requests in flight")
	}
	if got := problemOf(errors.New("disk on fire")); got.kind.Name != internal.Name || strings.Contains(got.detail, "fire") {
		t.Errorf("got %v, want an internal error that tells nothing", got)
	}
}

// The API has the rights of a reader, and reads with them all that it answers.
func TestTheAPIWritesNothing(t *testing.T) {
	t.Parallel()
	pool, err := Connect(t.Context(), testenv.ReadModel(t)+"&role=readmodel_reader", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(t.Context(), `CREATE TEMPORARY TABLE mine ()`); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("got %v, want that the session is read-only", err)
	}
}

// A page whose own name was made to lead here (DNS rebinding) is of the same origin as what it asks.
func TestWhoAsksThisMachineByAStrangersNameIsRefused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	here := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7488}
	elsewhere := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7488}
	stream := "/v1/orders/" + s.filled(2, 30)[0].Order.String() + "/changes"
	for _, c := range []struct {
		at         net.Addr
		host, path string
		code       int
	}{
		{here, "evil.example", "/v1/kitchen", 421},
		{here, "localhost:7488", "/v1/kitchen", 200},
		{here, "[::1]:7488", "/v1/kitchen", 200},
		{elsewhere, "projector", "/v1/kitchen", 200},
		{here, "evil.example:7488", "/v1/kitchen", 421}, // and one that was refused has changed nothing
		{here, "127.0.0.1", "/v1/kitchen", 200},
		{here, "evil.example", stream, 421},
		{here, "evil.example", "/", 421},
	} {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, c.at), http.MethodGet, "http://"+c.host+c.path, nil)
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, r)
		if answer.Code != c.code {
			t.Errorf("%s as %s, %s: got %d %s, want %d", c.at, c.host, c.path, answer.Code, answer.Body, c.code)
		}
	}
}
