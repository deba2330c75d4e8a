package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestBadInputNamesFieldAndRuleAndWritesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	unknown := "/v1/orders/" + uuid.NewString()
	for name, c := range map[string]struct {
		path, body    string
		header        []string
		code          int
		kind          string
		pointer, rule string
	}{
		"no JSON":                {"/v1/orders", `{"customer_id":`, nil, 400, "malformed", "", "syntax"},
		"trailing data":          {"/v1/orders", soup + `{}`, nil, 400, "malformed", "", "syntax"},
		"trailing junk":          {"/v1/orders", soup + `x`, nil, 400, "malformed", "", "syntax"},
		"duplicate name":         {"/v1/orders", `{"customer_id":7,"lines":[{"item_id":1,"item_id":2}]}`, nil, 400, "malformed", "#/lines/0/item_id", "duplicate"},
		"too deep":               {"/v1/orders", `{"lines":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, nil, 400, "malformed", "", "depth"},
		"too wide":               {"/v1/orders", `{"lines":[0` + strings.Repeat(",0", maxNames) + `]}`, nil, 400, "malformed", "#/lines", "too_long"},
		"too many fields":        {"/v1/orders", `{"a":{"b0":0` + fields(maxNames) + `}}`, nil, 400, "malformed", "#/a", "too_long"},
		"half a character":       {"/v1/orders", `{"service":"\ud800"}`, nil, 400, "malformed", "", "syntax"},
		"a number like no other": {"/v1/orders", `{"lines":[{"item_id":1,"quantity":-1e999}]}`, nil, 400, "malformed", "#/lines/0/quantity", "number"},
		"too large, elsewhere":   {"/v1/orders", `{"x":1e309}`, nil, 400, "malformed", "#/x", "number"},
		"many digits":            {"/v1/orders", `{"customer_id":100000000000000000000000000000}`, nil, 422, "invalid", "#/customer_id", "range"},
		"query":                  {"/v1/orders?x=1", soup, nil, 400, "malformed", "", "parameter"},
		"null":                   {"/v1/orders", `null`, nil, 400, "malformed", "", "type"},
		"array":                  {"/v1/orders", `[]`, nil, 400, "malformed", "", "type"},
		"not UTF-8":              {"/v1/orders", "{\"service\":\"\xff\"}", nil, 400, "malformed", "", "text"},
		"strange field":          {"/v1/orders", `{"a.b/c":1,"customer_id":7,"service":"pickup","lines":[{"item_id":1,"quantity":1}]}`, nil, 422, "invalid", "#/a.b~1c", "unknown_field"},
		"strange in a line":      {"/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":1,"quantity":1,"x.y":1}]}`, nil, 422, "invalid", "#/lines/0/x.y", "unknown_field"},
		"if-match of no order":   {"/v1/orders", soup, []string{"If-Match", `"1"`}, 412, "precondition-failed", "", ""},
		"if-match of none":       {path + "/pay", ``, []string{"If-Match", `"01"`}, 412, "precondition-failed", "", ""},
		"unknown field":          {"/v1/orders", `{"customer":7,"customer_id":7,"service":"pickup","lines":[{"item_id":1,"quantity":1}]}`, nil, 422, "invalid", "#/customer", "unknown_field"},
		"wrong type":             {"/v1/orders", `{"customer_id":"7"}`, nil, 422, "invalid", "#/customer_id", "type"},
		"wrong type in line":     {"/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":1,"quantity":1.5}]}`, nil, 422, "invalid", "#/lines/0/quantity", "type"},
		"wrong media type":       {"/v1/orders", soup, []string{"Content-Type", "text/plain"}, 415, "media-type", "", ""},
		"wrong charset":          {"/v1/orders", soup, []string{"Content-Type", "application/json; charset=latin1"}, 415, "media-type", "", ""},
		"no media type":          {"/v1/orders", soup, []string{"Content-Type", ""}, 415, "media-type", "", ""},
		"too large":              {"/v1/orders", `{"service":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413, "too-large", "", ""},
		"no body":                {"/v1/orders", ``, nil, 422, "invalid", "#/customer_id", "required"},
		"no lines":               {"/v1/orders", `{"customer_id":7,"service":"pickup"}`, nil, 422, "invalid", "#/lines", "required"},
		"quantity":               {"/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":1,"quantity":1},{"item_id":2,"quantity":-1}]}`, nil, 422, "invalid", "#/lines/1/quantity", "range"},
		"item":                   {"/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":99999,"quantity":1}]}`, nil, 422, "invalid", "#/lines/0/item_id", "menu"},
		"customer":               {"/v1/orders", `{"customer_id":101,"service":"pickup","lines":[{"item_id":1,"quantity":1}]}`, nil, 422, "invalid", "#/customer_id", "customer"},
		"customer off range":     {"/v1/orders", `{"customer_id":99999999999,"service":"pickup","lines":[{"item_id":1,"quantity":1}]}`, nil, 422, "invalid", "#/customer_id", "range"},
		"service":                {"/v1/orders", `{"customer_id":7,"service":"drone","lines":[{"item_id":1,"quantity":1}]}`, nil, 422, "invalid", "#/service", "choice"},
		"state":                  {path + "/deliver", ``, nil, 409, "rule-broken", "", "state"},
		"required":               {path + "/cancel", `{"by":"customer"}`, nil, 422, "invalid", "#/reason", "required"},
		"NUL":                    {path + "/cancel", `{"by":"customer","reason":"a\u0000b"}`, nil, 422, "invalid", "#/reason", "text"},
		"unknown order":          {unknown + "/pay", ``, nil, 404, "not-found", "", ""},
		"order's id":             {"/v1/orders/42/pay", ``, nil, 404, "not-found", "", ""},
		"unknown verb":           {path + "/eat", ``, nil, 404, "not-found", "", ""},
		"unknown path":           {"/v2/orders", soup, nil, 404, "not-found", "", ""},
		"wrong method":           {"/v1/menu", ``, nil, 405, "method-not-allowed", "", ""},
		"key":                    {"/v1/orders", soup, []string{"Idempotency-Key", `"open`}, 400, "malformed", "", "idempotency_key"},
		"empty key":              {"/v1/orders", soup, []string{"Idempotency-Key", ``}, 400, "malformed", "", "idempotency_key"},
		"long key":               {"/v1/orders", soup, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "malformed", "", "idempotency_key"},
		"if-match":               {path + "/pay", ``, []string{"If-Match", `"1", "2"`}, 400, "malformed", "", "if_match"},
		"weak if-match":          {path + "/pay", ``, []string{"If-Match", `W/"1"`}, 412, "precondition-failed", "", ""},
		"empty if-match":         {path + "/pay", ``, []string{"If-Match", ``}, 400, "malformed", "", "if_match"},
		"bare if-match":          {path + "/pay", ``, []string{"If-Match", `1`}, 400, "malformed", "", "if_match"},
		"another's if-match":     {path + "/pay", ``, []string{"If-Match", `"a,b"`}, 412, "precondition-failed", "", ""},
		"other origin":           {path + "/pay", ``, []string{"Origin", "https://evil.example"}, 403, "forbidden", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := s.post(c.path, c.body, c.header...)
			p := r.problem(t)
			if r.code != c.code || p.Type != "/problems/"+c.kind {
				t.Fatalf("got %d %s, want %d %s", r.code, r.body, c.code, c.kind)
			}
			if c.rule != "" && (len(p.Errors) == 0 || p.Errors[0].Rule != c.rule || p.Errors[0].Pointer != c.pointer) {
				t.Errorf("got %+v, want rule %q at %q", p.Errors, c.rule, c.pointer)
			}
			if p.Instance != "urn:uuid:"+r.header.Get("X-Request-Id") || p.Title == "" || p.Detail == "" {
				t.Errorf("got %s, want instance, title and detail", r.body)
			}
		})
	}
	t.Cleanup(func() {
		if orders, events := s.count("orders"), s.count("outbox"); orders != 1 || events != 1 {
			t.Errorf("got %d orders and %d events, want the one that was there", orders, events)
		}
		if s.output.String() != "" {
			t.Errorf("bad input was logged: %s", s.output)
		}
	})
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
	if r := s.send(http.MethodDelete, "/v1/menu", nil); r.header.Get("Allow") != http.MethodGet {
		t.Errorf("got Allow %q, want GET", r.header.Get("Allow"))
	}
}

func TestBodyThatBreaksOffIsTheClientsFault(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.send(http.MethodPost, "/v1/orders", io.MultiReader(strings.NewReader(soup[:20]), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if p := r.problem(t); r.code != http.StatusBadRequest || p.Errors[0].Rule != "cut_off" {
		t.Errorf("got %d %s, want 400", r.code, r.body)
	}
}

func TestInternalErrorsAreLoggedOnceAndToldToNobody(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	s.exec("ALTER TABLE outbox RENAME TO secrets")
	s.exec("ALTER TABLE menu_items RENAME TO recipes")
	for _, r := range []reply{s.get(path), s.get("/v1/menu"), s.post("/v1/orders", soup), s.post(path+"/pay", ``)} {
		if p := r.problem(t); r.code != http.StatusInternalServerError || strings.Contains(r.body, "outbox") || strings.Contains(r.body, "relation") {
			t.Errorf("got %d %s, want 500 without the inside (%s)", r.code, r.body, p.Title)
		}
		if n := strings.Count(s.output.String(), "request_id="+r.header.Get("X-Request-Id")); n != 1 {
			t.Errorf("logged %d times, want once: %s", n, s.output)
		}
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	a := &api{inFlight: make(chan struct{}, 1)}
	x := &exchange{request: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)}
	err := a.admitted(t.Context(), x, func(*http.Request) { panic("nothing is where it was") })
	if err == nil || problemOf(err).kind.Name != internal.Name || !strings.Contains(err.Error(), "edge.go") {
		t.Errorf("got %v, want an internal error with the stack", err)
	}
	if len(a.inFlight) != 0 {
		t.Error("the panic kept its place among the requests in flight")
	}
}

func TestAbsentDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	s := setupOn(t, "postgres://nobody@127.0.0.1:1/orders?connect_timeout=1", 4)
	for _, r := range []reply{s.get("/v1/menu"), s.post("/v1/orders", soup), s.get("/v1/orders/" + uuid.NewString())} {
		if p := r.problem(t); r.code != http.StatusServiceUnavailable || p.Type != "/problems/unavailable" || r.header.Get("Retry-After") == "" {
			t.Errorf("got %d %s, want 503 and when to come again", r.code, r.body)
		}
		if strings.Contains(r.body, "127.0.0.1") || strings.Contains(r.body, "nobody") {
			t.Errorf("the answer tells the database's address: %s", r.body)
		}
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	s := setupOn(t, testenv.Orders(t)+"&lock_timeout=30000", 1)
	release := s.holding("LOCK TABLE menu_items IN ACCESS EXCLUSIVE MODE")
	defer release()
	first := make(chan reply, 1)
	go func() { first <- s.get("/v1/menu") }()
	s.until("EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')")
	r := s.get("/v1/menu")
	if p := r.problem(t); r.code != http.StatusServiceUnavailable || p.Type != "/problems/busy" || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want busy", r.code, r.body)
	}
	release()
	<-first
	if r := s.get("/v1/menu"); r.code != http.StatusOK {
		t.Errorf("afterwards: got %d %s", r.code, r.body)
	}
}

func TestUnknownErrorsAreInternal(t *testing.T) {
	t.Parallel()
	if got := problemOf(errors.New("disk on fire")); got.kind.Name != internal.Name || strings.Contains(got.detail, "fire") {
		t.Errorf("got %v, want an internal error that tells nothing", got)
	}
}

// A form's empty body and other spellings of JSON's type are what browsers and clients send; huma takes neither.
func TestContentTypeIsReadAsOthersWriteIt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, media := range []string{"application/json", "Application/JSON", "application/json ; charset=UTF-8", `application/json; x="a+b"`} {
		if r := s.post("/v1/orders", soup, "Content-Type", media); r.code != http.StatusCreated {
			t.Errorf("%s: got %d %s, want the order", media, r.code, r.body)
		}
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "nonsense"} {
		if r := s.post(s.placed()+"/pay", ``, "Content-Type", media); r.code != http.StatusOK {
			t.Errorf("no body as %q: got %d %s, want it done", media, r.code, r.body)
		}
	}
}

// A page whose own name was made to lead here (DNS rebinding) is of the same origin as what it asks.
func TestWhoAsksThisMachineByAStrangersNameIsRefused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := httptest.NewServer(s)
	defer server.Close()
	for host, code := range map[string]int{"evil.example": 421, "evil.example:7481": 421, "localhost:7481": 200, "127.0.0.1": 200, "[::1]:7481": 200} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/customers/7", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != code {
			t.Errorf("%s: got %d (%v), want %d", host, answer.StatusCode, err, code)
		}
	}
}

// fields are n more fields of an object.
func fields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"b%d":0`, i+1)
	}
	return b.String()
}
