package query

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// shown are the parts of an order's state, for comparing.
var shown = []cmp.Option{cmp.AllowUnexported(orderAnswer{}, pastAnswer{}, order{}), cmpopts.IgnoreUnexported(position{})}

func (s *service) order(id uuid.UUID, parameters string) order {
	s.t.Helper()
	if parameters != "" {
		var a pastAnswer
		s.get("/v1/orders/"+id.String()+"?"+parameters).into(s.t, &a)
		return a.order
	}
	var a orderAnswer
	s.get("/v1/orders/"+id.String()).into(s.t, &a)
	return a.order
}

func TestPastStatesAreThoseThatTheOrderHadThen_I10(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 4, 150)
	had := make(map[token]order)
	for _, e := range events { // what is shown after each event
		s.apply(0, []view.Event{e})
		had[token{e.Order, e.Version}] = s.order(e.Order, "")
	}
	for _, e := range events {
		want := had[token{e.Order, e.Version}]
		if want.Version != e.Version || !want.UpdatedAt.Equal(e.At) {
			t.Fatalf("after v%d of %s the order was at v%d", e.Version, e.Order, want.Version)
		}
		for _, parameters := range []string{
			fmt.Sprintf("at_version=%d", e.Version),
			"at=" + url.QueryEscape(e.At.Format(time.RFC3339Nano)),
			"at=" + url.QueryEscape(e.At.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano)),
		} {
			if diff := cmp.Diff(s.order(e.Order, parameters), want, shown...); diff != "" {
				t.Fatalf("%s of %s (-got +want):\n%s", parameters, e.Order, diff)
			}
		}
	}
	first := events[0]
	for parameters, want := range map[string]string{
		"at_version=1000": "the order is at version",
		"at=" + first.At.Add(-time.Microsecond).Format(time.RFC3339Nano): "the order was placed at " + first.At.Format(time.RFC3339Nano),
	} {
		r := s.get("/v1/orders/" + first.Order.String() + "?" + parameters)
		if p := r.problem(t); r.code != http.StatusNotFound || !strings.Contains(p.Detail, want) || p.AsOf == nil {
			t.Errorf("%s: got %d %s, want 404 %s", parameters, r.code, r.body, want)
		}
	}
}

func TestAClockThatWasPutBackLeavesNoVersionOut(t *testing.T) {
	t.Parallel()
	s := setup(t)
	all := s.filled(2, 60)
	id := all[0].Order
	last := s.order(id, "").Version
	if last < 3 {
		t.Fatalf("the order has %d versions", last)
	}
	s.exec(`UPDATE order_timeline SET at = at + interval '1 year' WHERE order_id = $1 AND version = 2`, id)
	if got := s.order(id, "at=2026-12-01T00:00:00Z").Version; got != last {
		t.Errorf("got version %d, want %d: all of them had happened", got, last)
	}
}

func TestAPastThatIsNotKeptSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := s.filled(2, 40)[0].Order
	s.exec(`UPDATE order_timeline SET part = NULL, record_offset = NULL, position = NULL, data = NULL WHERE order_id = $1 AND version = 1`, id)
	r := s.get("/v1/orders/" + id.String() + "?at_version=1")
	if p := r.problem(t); p.Type != "/problems/no-history" || !strings.Contains(p.Detail, "projector rebuild") {
		t.Errorf("got %d %s, want the remedy", r.code, r.body)
	}
	s.order(id, "") // as it is, it is known
}

func TestAnOrderSaysWhatItReflects(t *testing.T) {
	t.Parallel()
	s := setup(t)
	all := s.filled(3, 80)
	var (
		a     orderAnswer
		next  int64
		moved time.Time
	)
	id := all[0].Order
	r := s.get("/v1/orders/" + id.String())
	r.into(t, &a)
	s.scan(`SELECT next_offset, updated_at FROM projection_offsets WHERE part = 1`, &next, &moved)
	if p := a.AsOf.Partitions[1]; p.Number != 1 || p.Next != next || !p.UpdatedAt.Equal(moved) || !p.Newest.Equal(all[2*80-1].At) {
		t.Errorf("got %+v, want offset %d, which it reached at %s with an event of %s", p, next, moved, all[2*80-1].At)
	}
	if got := a.AsOf.Position; got.source == "" || len(got.applied) != 3 || got.applied[1] != 80 {
		t.Errorf("position %s, want 80 events of partition 1", got)
	}
	if a.AsOf.Lag == nil {
		t.Errorf("no lag in %s", r.body)
	}
	if got, want := r.header.Get("Order-Version"), fmt.Sprintf("%s@%d", id, a.Version); got != want {
		t.Errorf("Order-Version %q, want %q", got, want)
	}
	s.exec(`UPDATE order_timeline SET part = NULL, record_offset = NULL, position = NULL WHERE part = 2`)
	s.get("/v1/orders/"+id.String()).into(t, &a)
	if a.AsOf.Lag != nil || a.AsOf.Partitions[2].Newest != nil {
		t.Errorf("got %+v, want a lag that is not known", a.AsOf)
	}
}

// While the order's events are being applied, each answer shows what the events before its position make, and no others.
func TestAnAnswerIsOneSnapshot_I8(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 1, 400)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for _, e := range events {
			s.apply(0, []view.Event{e})
		}
	}()
	seen := make(map[int64]bool)
	for {
		select {
		case <-written:
			if len(seen) < 10 {
				t.Errorf("answers between %d different events only", len(seen))
			}
			return
		default:
		}
		var a timelinePage
		at := s.get("/v1/kitchen")
		if err := unmarshal(at, &a); err != nil {
			t.Fatal(err)
		}
		id := events[min(a.AsOf.Position.applied[0], 399)].Order // about to be written to
		r := s.get("/v1/orders/" + id.String() + "/timeline?limit=200")
		if r.code == http.StatusNotFound {
			continue
		}
		r.into(t, &a)
		want := int64(0)
		for _, e := range events[:a.AsOf.Position.applied[0]] {
			if e.Order == id {
				want++
			}
		}
		if a.Version != want || int64(len(a.Events)) != want {
			t.Fatalf("version %d and %d events, want %d at %s", a.Version, len(a.Events), want, a.AsOf.Position)
		}
		seen[a.AsOf.Position.applied[0]] = true
	}
}

// unreadable is the event as it is when its record cannot be decoded.
func unreadable(e view.Event) view.Event {
	e.Data, e.Err = nil, errors.New("made up")
	return e
}

func TestABlockedOrderSaysSo(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 3, 90)
	spoilt := slices.IndexFunc(events, func(e view.Event) bool { return e.Version == 3 })
	id := events[spoilt].Order
	unborn := events[spoilt+1:][slices.IndexFunc(events[spoilt+1:], func(e view.Event) bool { return e.Version == 1 })].Order
	waiting := int64(0)
	for i, e := range events {
		if e.Order == id && e.Version >= 3 {
			waiting++
		}
		if i == spoilt || (e.Order == unborn && e.Version == 1) {
			events[i] = unreadable(e)
		}
	}
	s.apply(0, events)
	got := s.order(id, "")
	if b := got.Blocked; got.Version != 2 || b == nil || *b.Version != 3 || b.Reason != "undecodable" || b.Events != waiting {
		t.Errorf("got version %d, %+v, want it blocked by version 3 and %d events", got.Version, got.Blocked, waiting)
	}
	if past := s.order(id, "at_version=1"); past.Blocked == nil {
		t.Error("its past does not say so")
	}
	for _, path := range []string{"", "/timeline", "?at_version=1"} {
		r := s.get("/v1/orders/" + unborn.String() + path)
		if p := r.problem(t); r.code != http.StatusConflict || p.Type != "/problems/order-blocked" {
			t.Errorf("%s: got %d %s, want that its first event could not be applied", path, r.code, r.body)
		}
	}
	s.exec(`UPDATE dead_letters SET state = 'redriven', settled_at = now()`)
	if got := s.order(id, ""); got.Blocked != nil {
		t.Errorf("redriven, and still %+v", got.Blocked)
	}
}

type timelinePage struct {
	ID      uuid.UUID `json:"id"`
	Version int64     `json:"version"`
	Events  []entry   `json:"events"`
	Blocked *blocked  `json:"blocked"`
	reflection
}

func TestATimelineIsReadInPages(t *testing.T) {
	t.Parallel()
	s := setup(t)
	all := s.filled(2, 80)
	id := all[0].Order
	var want []view.Event
	for _, e := range all {
		if e.Order == id {
			want = append(want, e)
		}
	}
	var got []entry
	for path := "/v1/orders/" + id.String() + "/timeline?limit=2"; path != ""; {
		var p timelinePage
		r := s.get(path)
		r.into(t, &p)
		if len(p.Events) > 2 || p.ID != id || p.Version != int64(len(want)) {
			t.Fatalf("%s: got %s", path, r.body)
		}
		got = append(got, p.Events...)
		path = next(t, r)
	}
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i, e := range want {
		if g := got[i]; g.Version != e.Version || g.ID != e.ID || !g.At.Equal(e.At) || g.Type != e.Type || string(g.Data) != string(e.Payload) || *g.Offset != e.Offset {
			t.Errorf("got %+v, want %+v", g, e)
		}
	}
}

// next is where the Link of a page leads, empty for the last one.
func next(t *testing.T, r reply) string {
	t.Helper()
	link := r.header.Get("Link")
	if link == "" {
		return ""
	}
	path, found := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	if !found {
		t.Fatalf("Link %q", link)
	}
	return path
}

type ordersPage struct {
	Orders []order `json:"orders"`
	reflection
}

// walk reads all pages of a customer's orders, and does something before each further one.
func (s *service) walk(path string, between func()) (all []order) {
	s.t.Helper()
	for path != "" {
		var p ordersPage
		r := s.get(path)
		r.into(s.t, &p)
		all = append(all, p.Orders...)
		path = next(s.t.(*testing.T), r)
		between()
	}
	return all
}

func ids(orders []order) (all []string) {
	for _, o := range orders {
		all = append(all, o.ID.String())
	}
	return all
}

func TestPagesOfOrdersAreStableWhileOrdersComeIn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 10, 900)
	s.apply(0, events[:400])
	rest := events[400:]
	for customer := 1; customer <= 3; customer++ {
		base := fmt.Sprintf("/v1/customers/%d/orders", customer)
		before := s.walk(base+"?limit=200", func() {})
		if len(before) < 15 || !slices.IsSortedFunc(before, func(a, b order) int { return b.PlacedAt.Compare(a.PlacedAt) }) {
			t.Fatalf("%d orders, or not the newest first", len(before))
		}
		paged := s.walk(base+"?limit=4", func() {
			n := min(20, len(rest))
			s.apply(0, rest[:n])
			rest = rest[n:]
		})
		if diff := cmp.Diff(ids(paged), ids(before)); diff != "" {
			t.Errorf("customer %d: pages while orders came in (-got +want):\n%s", customer, diff)
		}
		if after := s.walk(base+"?limit=200", func() {}); len(after) <= len(before) {
			t.Errorf("customer %d: no order came in", customer)
		}
	}
}

func TestOrdersWithOneTimeAreEachOnOnePage(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.filled(20, 400)
	s.exec(`UPDATE order_summary SET placed_at = date_trunc('minute', placed_at)`)
	want := s.walk("/v1/customers/1/orders?limit=200", func() {})
	if got := s.walk("/v1/customers/1/orders?limit=3", func() {}); !slices.Equal(ids(got), ids(want)) || len(want) < 20 {
		t.Errorf("got %d orders in pages of 3, want the %d", len(got), len(want))
	}
}

func TestOrdersAreFilteredByFulfilment(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.filled(20, 900)
	all := s.walk("/v1/customers/2/orders?limit=200", func() {})
	n := 0
	for _, state := range fulfilments {
		for _, o := range s.walk("/v1/customers/2/orders?limit=3&fulfilment="+state, func() {}) {
			if o.Fulfilment != state {
				t.Errorf("asked for %s, got %s", state, o.Fulfilment)
			}
			n++
		}
	}
	if n != len(all) || n == 0 {
		t.Errorf("the filters gave %d orders, without one there are %d: a state is missing", n, len(all))
	}
	var unknown int
	s.scan(`SELECT count(*) FROM order_summary WHERE fulfilment <> ALL ('{`+strings.Join(fulfilments, ",")+`}')`, &unknown)
	if unknown > 0 {
		t.Errorf("%d orders have a fulfilment that cannot be asked for", unknown)
	}
}
