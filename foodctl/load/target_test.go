package load

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// placing places an order and returns it.
func placing(t *testing.T, target Target) placed {
	t.Helper()
	a := target.Do(t.Context(), placement1(t, target))
	if a.Outcome != Done {
		t.Fatalf("got %+v, want an order", a)
	}
	return placed{a.Order, a.State}
}

func placement1(t *testing.T, target Target) Request {
	t.Helper()
	menu, err := target.Menu(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := Mix{Customers: 100}.drawer(menu, target.Flaws())
	if err != nil {
		t.Fatal(err)
	}
	return Request{Kind: Place, Do: d.place(source(1))}
}

func targets(t *testing.T) map[string]Target {
	t.Helper()
	s := orderservice(t)
	return map[string]Target{"API": s.api(t), "event log": direction(t, s.database)}
}

// The real service's answers: each flaw is refused, and the sound request beside it is not.
func TestEachFlawIsRefusedByTheRealOrderservice(t *testing.T) {
	t.Parallel()
	for name, target := range targets(t) {
		for _, flaw := range append(target.Flaws(), Sound) {
			r := placement1(t, target)
			if r.Flaw = flaw; flaw == BrokenRule {
				p := placing(t, target)
				r.Kind, r.Order, r.Known, r.Do = Act, p.id, p.state, forbidden(p.state)
			}
			a := target.Do(t.Context(), r)
			if want := map[bool]Outcome{true: Done, false: Refused}[flaw == Sound]; a.Outcome != want {
				t.Errorf("%s, %q: got %s (%s: %s), want %s", name, flaw, a.Outcome, a.Status, a.Detail, want)
			}
			// Control: what must be refused must not pass for a sound request, nor the other way round.
			if r.Flaw = Sound; flaw != Sound && flaw != BrokenJSON && flaw != WrongType && flaw != UnknownField && flaw != UnknownItem && flaw != NoQuantity {
				if a := target.Do(t.Context(), r); a.Outcome != Wrong {
					t.Errorf("%s, %q taken for sound: got %s, want wrong", name, flaw, a.Outcome)
				}
			}
		}
	}
}

// Customers are erased, and the load does not know whom.
func TestAnOrderOfNobodyIsNobodysFault(t *testing.T) {
	t.Parallel()
	for name, target := range targets(t) {
		r := placement1(t, target)
		place, _ := r.Do.(order.Place)
		place.CustomerID = 1_000_000
		r.Do = place
		if a := target.Do(t.Context(), r); a.Outcome != NoSuch {
			t.Errorf("%s: got %s (%s: %s), want %s", name, a.Outcome, a.Status, a.Detail, NoSuch)
		}
	}
}

func TestAnOrderIsWalkedToItsEndAndRead(t *testing.T) {
	t.Parallel()
	for name, target := range targets(t) {
		ends := make(map[string]int)
		for seed := range uint64(40) {
			random, p := source(seed), placing(t, target)
			for do := next(random, p.state); do != nil; do = next(random, p.state) {
				a := target.Do(t.Context(), Request{Kind: Act, Order: p.id, Known: p.state, Do: do})
				if a.Outcome != Done || a.Order != p.id || a.State.Version <= p.state.Version {
					t.Fatalf("%s: %s of %s at version %d: %+v", name, do.Name(), p.id, p.state.Version, a)
				}
				p.state = a.State
			}
			a := target.Do(t.Context(), Request{Kind: Read, Order: p.id, Known: p.state})
			if a.Outcome != Done || a.State.Version != p.state.Version || a.State.Fulfilment != p.state.Fulfilment {
				t.Errorf("%s: read %+v, want %+v", name, a, p.state)
			}
			ends[string(p.state.Fulfilment)]++
		}
		if ends["completed"] < 20 || len(ends) < 3 {
			t.Errorf("%s: orders ended %v", name, ends)
		}
	}
}

func TestALoadOnTheRealOrderserviceHoldsAndMakesOneOrderOfTwoCommands_I12(t *testing.T) {
	t.Parallel()
	s := orderservice(t)
	var done int64
	for _, target := range []Target{s.api(t), direction(t, s.database)} {
		c := constant(150, 2*time.Second)
		c.Mix = Mix{Act: 0.4, Read: 0.2, Invalid: 0.2, Duplicate: 0.4, Customers: 100, Zipf: 1.1, Seed: 3}
		c.MaxInFlight = 8
		r := run(t, c, target)
		if r.Violated() || r.Unserved() > 0 || r.Duplicates.Equal != r.Duplicates.Given || r.Duplicates.Given < 50 || r.Duplicates.AtOnce == 0 {
			t.Errorf("%s: %d violations, %q, duplicates %+v, %d unserved", r.To, r.Violations, r.Findings, r.Duplicates, r.Unserved())
		}
		if strings.Contains(r.To, "postgres:") && strings.Contains(r.To, "postgres:postgres") {
			t.Errorf("the report has the password: %s", r.To)
		}
		done += r.count(func(c Count) bool { return c.Kind == Place && c.Outcome == Done })
		if r.count(func(c Count) bool { return c.Outcome == Refused }) == 0 || r.count(func(c Count) bool { return c.Kind == Act && c.Outcome == Done }) == 0 {
			t.Errorf("%s: %+v, want refusals and acts", r.To, r.Answers)
		}
	}
	if orders := scan(t, s.database, `SELECT count(*) FROM orders`); orders != done {
		t.Errorf("%d orders were made by %d commands", orders, done)
	}
	if torn := scan(t, s.database, `SELECT count(*) FROM orders o WHERE version <> (SELECT count(*) FROM outbox WHERE aggregateid = o.id)`); torn != 0 {
		t.Errorf("%d orders have a hole", torn)
	}
}

func TestAKeyOfARunningCommandIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, target := range targets(t) {
		r := placement1(t, target)
		r.Key = uuid.NewString()
		first, again := target.Do(t.Context(), r), target.Do(t.Context(), r)
		if first.Outcome != Done || again.Outcome != Done || first.Replayed || !again.Replayed || first.Content != again.Content || first.Content == "" {
			t.Errorf("%s: got %+v and then %+v", name, first, again)
		}
	}
}

// answering is an API that says the same to everything.
func answering(t *testing.T, code int, media, body string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body)) // to the test
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAnswersAreHeldAgainstWhatTheRequestHadToGet(t *testing.T) {
	t.Parallel()
	const problem = "application/problem+json"
	for _, tt := range []struct {
		code        int
		media, body string
		flaw        Flaw
		want        Outcome
	}{
		{201, "application/json", `{"id":"01a22079-7629-7722-b50c-a9cc6fbf7671","version":1}`, Sound, Done},
		{200, "application/json", `{"id":"01a22079-7629-7722-b50c-a9cc6fbf7671","version":1}`, Sound, Wrong},
		{201, "application/json", `{"id":"1"}`, Sound, Wrong},
		{201, "application/json", `{"id":"01a22079-7629-7722-b50c-a9cc6fbf7671","version":1}`, NoQuantity, Wrong},
		{422, problem, `{"type":"/problems/invalid"}`, NoQuantity, Refused},
		{422, problem, `{"type":"/problems/invalid"}`, Sound, Wrong},
		{422, "text/plain", `no`, NoQuantity, Wrong},
		{400, problem, `{"type":"/problems/malformed"}`, UnknownField, Refused},
		{400, problem, `{"type":"/problems/malformed"}`, WrongType, Wrong},
		{500, problem, `{"type":"/problems/internal"}`, NoQuantity, Wrong},
		{500, problem, `{"type":"/problems/internal"}`, Sound, Wrong},
		{503, problem, `{"type":"/problems/busy"}`, Sound, Busy},
		{422, problem, `{"type":"/problems/invalid","errors":[{"rule":"customer"}]}`, Sound, NoSuch},
		{422, problem, `{"type":"/problems/invalid","errors":[{"rule":"range"}]}`, Sound, Wrong},
		{503, problem, `{"type":"/problems/busy"}`, NoQuantity, Busy},
		{429, problem, `{"type":"https://example.com/problems/busy"}`, Sound, Busy},
		{503, "text/html", `a proxy`, Sound, Wrong},
		{409, problem, `{"type":"/problems/key-in-use"}`, Sound, InUse},
		{307, "text/plain", ``, Sound, Wrong},
	} {
		target, err := API(answering(t, tt.code, tt.media, tt.body).URL, http.DefaultClient)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Mix{Customers: 1}.drawer(menu(1), nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := target.Do(t.Context(), Request{Kind: Place, Flaw: tt.flaw, Do: d.place(source(1))}); a.Outcome != tt.want {
			t.Errorf("%d %s %s to %q: got %+v, want %s", tt.code, tt.media, tt.body, tt.flaw, a, tt.want)
		}
		target.Close()
	}
}

func TestWhoIsNotTheAPIIsNamed(t *testing.T) {
	t.Parallel()
	for want, url := range map[string]string{
		"does not answer": "http://127.0.0.1:1",
		"--bearer-token":  answering(t, http.StatusUnauthorized, "text/plain", "").URL,
		"is that the":     answering(t, http.StatusNotFound, "text/html", "<p>nothing here").URL,
	} {
		target, err := API(url, http.DefaultClient)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Run(t.Context(), constant(1, time.Second), target)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
	for _, address := range []string{"", "127.0.0.1:7481", "ftp://host", "http://me:secret@host", "http://"} {
		if _, err := API(address, http.DefaultClient); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", address, err)
		}
	}
	if _, err := Log(t.Context(), "postgres://me:sec ret@host:x/", 1); err == nil || strings.Contains(err.Error(), "ret@") {
		t.Errorf("got %v", err)
	}
}
