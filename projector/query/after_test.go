package query

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// last is the token of the last of the events.
func last(events []view.Event) token {
	e := events[len(events)-1]
	return token{e.Order, e.Version}
}

// someoneWaits waits until n requests wait.
func (s *service) someoneWaits(n int) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("%d requests wait", n), func() bool {
		s.arrivals.mu.Lock()
		defer s.arrivals.mu.Unlock()
		return len(s.arrivals.waiting) == n
	})
}

// whatSumsSay are answers of which each is made of another read model, and the sum of what it counts.
func (s *service) whatSumsSay(events []view.Event, headers ...string) (all [5]int64) {
	s.t.Helper()
	span := fmt.Sprintf("?from=%s&to=%s", events[0].At.Truncate(time.Hour).Format(time.RFC3339), events[len(events)-1].At.Add(time.Hour).Format(time.RFC3339))
	var (
		sums struct {
			Stats   []stats
			Items   []item
			Minutes []minute
			Orders  []struct{ Version, Items int64 }
		}
		add = func(i int, path string) {
			r := s.get(path, headers...)
			if err := json.Unmarshal([]byte(r.body), &sums); err != nil || r.code != http.StatusOK {
				s.t.Fatalf("%s: got %d %s", path, r.code, r.body)
			}
			for _, c := range sums.Stats {
				all[i] += c.Orders + c.Spent.Minor + c.Refunded.Minor + c.Tips.Minor
			}
			for _, p := range sums.Items {
				all[i] += p.Quantity
			}
			for _, m := range sums.Minutes {
				all[i] += m.Orders + m.Gross.Minor + m.Refunded.Minor + m.Tips.Minor
			}
			for _, o := range sums.Orders {
				all[i] += o.Version + 1000*o.Items
			}
			sums.Stats, sums.Items, sums.Minutes, sums.Orders = nil, nil, nil, nil
		}
	)
	for customer := 1; customer <= 3; customer++ {
		add(0, fmt.Sprintf("/v1/customers/%d/stats", customer))
		add(1, fmt.Sprintf("/v1/customers/%d/orders?limit=200", customer))
	}
	add(2, "/v1/items/popular"+span+"&limit=100")
	add(3, "/v1/revenue"+span)
	add(4, "/v1/kitchen?limit=200")
	return all
}

// What is asked for with the token is the same as what is asked for when everything has been applied, in each read model.
func TestEachAnswerHoldsWhatWasWritten_I8(t *testing.T) {
	t.Parallel()
	events := history(0, 10, 200)
	whole := setup(t)
	whole.apply(0, events)
	want := whole.whatSumsSay(events)

	s := setup(t)
	if half := s.whatSumsSay(events); half == want {
		t.Fatal("nothing was applied, and the answers are the same")
	}
	got := make(chan [5]int64)
	go func() { got <- s.whatSumsSay(events, "Read-After", last(events).String(), "Prefer", "wait=30") }()
	s.someoneWaits(1)
	for _, e := range events {
		s.apply(0, []view.Event{e})
	}
	if got := <-got; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := testutil.ToFloat64(s.metrics.waits.WithLabelValues("reached")); n != 9 {
		t.Errorf("%v requests reached what they waited for, want 9", n)
	}
}

func TestAReaderSeesWhatItWroteWhileOthersWrite(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 20, 600)
	answers := make(chan string, 40)
	asked := 0
	for i, e := range events {
		if i%15 == 0 {
			asked++
			go func() {
				r := s.get("/v1/orders/"+e.Order.String()+"?read_after="+token{e.Order, e.Version}.String(), "Prefer", "wait=30")
				var a orderAnswer
				if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.code != http.StatusOK || a.Version < e.Version {
					answers <- fmt.Sprintf("wanted v%d, got %d %s", e.Version, r.code, r.body)
					return
				}
				answers <- ""
			}()
		}
		if i%5 == 0 {
			s.apply(0, events[i:i+5])
		}
	}
	for range asked {
		if wrong := <-answers; wrong != "" {
			t.Error(wrong)
		}
	}
}

func TestWhatIsNotThereInTimeIsToldWithWhatIs(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 3, 60)
	s.apply(0, events[:59])
	t59 := last(events)
	r := s.get("/v1/kitchen", "Read-After", t59.String(), "Prefer", "wait=0")
	p := r.problem(t)
	want := missing{Order: t59.order, Version: t59.version, Is: t59.version - 1}
	if r.code != http.StatusServiceUnavailable || p.Type != "/problems/not-yet" || r.header.Get("Retry-After") == "" || !slices.Equal(p.Missing, []missing{want}) {
		t.Fatalf("got %d %s, want 503 and that %+v is missing", r.code, r.body, want)
	}
	if p.AsOf == nil || p.AsOf.Position.applied[0] != 59 {
		t.Errorf("got %s, want that 59 events are reflected", r.body)
	}
	if s.log.String() != "" {
		t.Errorf("a projector's lag was logged as a server error: %s", s.log)
	}

	r = s.get("/v1/orders/"+t59.order.String(), "Read-After", t59.String(), "Prefer", "wait=0, handling=lenient")
	var a orderAnswer
	r.into(t, &a)
	if a.Version != t59.version-1 || !slices.Equal(a.Missing, []missing{want}) || r.header.Get("Preference-Applied") != "wait=0, handling=lenient" {
		t.Errorf("got %q %s, want the stale order, and that it is", r.header.Get("Preference-Applied"), r.body)
	}
	begun := time.Now()
	s.get("/v1/kitchen", "Read-After", t59.String())
	if took := time.Since(begun); took < usualWait {
		t.Errorf("without a preference it waited %s, want %s", took, usualWait)
	}
	s.someoneWaits(0)
	if n := testutil.ToFloat64(s.metrics.waits.WithLabelValues("late")); n != 3 {
		t.Errorf("%v requests were late, want 3", n)
	}
}

func TestABlockedOrderIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 3, 90)
	spoilt := slices.IndexFunc(events, func(e view.Event) bool { return e.Version == 3 })
	id := events[spoilt].Order
	events[spoilt] = unreadable(events[spoilt])
	done := make(chan reply)
	wanted := token{id, 4}.String()
	go func() { done <- s.get("/v1/kitchen", "Read-After", wanted, "Prefer", "wait=30") }()
	s.someoneWaits(1)
	s.apply(0, events)
	begun := time.Now()
	r := <-done
	if p := r.problem(t); r.code != http.StatusConflict || p.Type != "/problems/order-blocked" || !p.Missing[0].Blocked || time.Since(begun) > 10*time.Second {
		t.Errorf("got %d %s, want at once that the order is blocked", r.code, r.body)
	}
	if r := s.get("/v1/kitchen", "Read-After", token{id, 2}.String()); r.code != http.StatusOK {
		t.Errorf("what was applied before: got %d %s", r.code, r.body)
	}
	var a orderAnswer
	s.get("/v1/orders/"+id.String(), "Read-After", wanted, "Prefer", "wait=30, handling=lenient").into(t, &a)
	if a.Version != 2 || a.Blocked == nil || len(a.Missing) != 1 {
		t.Errorf("got %+v, want the order without what could not be applied", a)
	}
}

// A record that cannot be read at all may be of any version: the order may go on.
func TestALetterWithoutAVersionHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 3, 60)
	junk := view.Event{Offset: events[39].Offset, LeaderEpoch: -1, Err: fmt.Errorf("made up"), Raw: raw{}}
	junk.Order = events[59].Order
	events[39].Offset--
	s.apply(0, append(slices.Clone(events[:38]), junk))
	for i := range events {
		events[i].Offset += 1000
	}
	done := make(chan reply)
	go func() { done <- s.get("/v1/kitchen", "Read-After", last(events).String(), "Prefer", "wait=30") }()
	s.someoneWaits(1)
	s.apply(0, events[38:])
	if r := <-done; r.code != http.StatusOK {
		t.Errorf("got %d %s, want what the order went on to", r.code, r.body)
	}
}

func TestWaitingOutlivesTheListenersLimits(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := httptest.NewUnstartedServer(s)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	events := history(0, 3, 60)
	done := make(chan error)
	go func() {
		r, err := server.Client().Get(server.URL + "/v1/kitchen?read_after=" + last(events).String())
		if err == nil {
			defer r.Body.Close()
			if r.StatusCode != http.StatusOK {
				err = fmt.Errorf("got %s", r.Status)
			}
		}
		done <- err
	}()
	s.someoneWaits(1)
	<-time.After(4 * server.Config.WriteTimeout)
	s.apply(0, events)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWhoeverHangsUpWaitsNoLonger(t *testing.T) {
	t.Parallel()
	s := setup(t)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	conn := dial(t, server)
	fmt.Fprintf(conn, "GET /v1/kitchen?read_after=%s HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=30\r\n\r\n", token{uuid.New(), 1})
	s.someoneWaits(1)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	s.someoneWaits(0)
	if len(s.inFlight) > 1 {
		t.Error("the request kept its place")
	}
}

func TestWaitingEndsWithTheProgram(t *testing.T) {
	t.Parallel()
	s := setup(t)
	done := make(chan reply)
	go func() { done <- s.get("/v1/kitchen", "Read-After", token{uuid.New(), 1}.String(), "Prefer", "wait=30") }()
	s.someoneWaits(1)
	s.stop()
	if r := <-done; r.code != http.StatusServiceUnavailable || !strings.Contains(r.body, "not-yet") {
		t.Errorf("got %d %s, want that it is not there yet", r.code, r.body)
	}
}

func TestPreferencesAreReadAsRFC7240HasThem(t *testing.T) {
	t.Parallel()
	some := token{uuid.New(), 1}.String()
	for header, want := range map[string]string{
		``:                                  `2s false []`,
		`wait=5`:                            `5s false [wait=5]`,
		`wait=300`:                          `30s false [wait=30]`,
		`WAIT = 7 ; x=y , handling=lenient`: `7s true [wait=7 handling=lenient]`,
		`handling="lenient", wait="3"`:      `3s true [handling=lenient wait=3]`,
		`wait=1, wait=9`:                    `1s false [wait=1]`,
		`foo="a, wait=9", wait=4`:           `4s false [wait=4]`,
		`foo; a="x, wait=9"; b, wait=4`:     `4s false [wait=4]`,
		`respond-async, wait=-1`:            `2s false []`,
		`wait=1.5, handling=strict`:         `2s false [handling=strict]`,
		`handling=loose`:                    `2s false []`,
		`"`:                                 `2s false []`,
	} {
		c, err := conditionsOf(http.Header{"Prefer": {header}, "Read-After": {some}}, "")
		if got := fmt.Sprint(c.wait, c.lenient, c.applied); err != nil || strings.ReplaceAll(got, "true[", "true [") != want {
			t.Errorf("%s: got %s, %v; want %s", header, got, err, want)
		}
	}
}

func TestTokensComeFromHeaderAndLink(t *testing.T) {
	t.Parallel()
	var all []token
	for i := range 5 {
		all = append(all, token{uuid.New(), int64(i + 1)})
	}
	h := http.Header{"Read-After": {all[0].String() + " , " + all[1].String(), all[2].String()}}
	c, err := conditionsOf(h, all[3].String()+","+all[4].String())
	if err != nil || !slices.Equal(c.after, all) {
		t.Errorf("got %v, %v; want %v", c.after, err, all)
	}
}
