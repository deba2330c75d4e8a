package query

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// oracle is what the tables have to be after the events, by a fold that shares nothing with the projector's.
func oracle(events []view.Event) viewtest.Tables {
	var all []viewtest.Event
	for _, e := range events {
		all = append(all, viewtest.Event{Event: e.Event, Offset: e.Offset, Data: e.Data})
	}
	return viewtest.Folded(all)
}

func at(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339Nano)) }

type statsAnswer struct {
	Customer int32   `json:"customer_id"`
	Stats    []stats `json:"stats"`
	reflection
}

func TestStatsAreTheCustomersOwn_I10(t *testing.T) {
	t.Parallel()
	s := setup(t)
	want := oracle(s.filled(10, 300))["customer_stats"]
	var got []string
	for customer := range 5 { // two of whom have ordered nothing
		var a statsAnswer
		s.get(fmt.Sprintf("/v1/customers/%d/stats", customer+1)).into(t, &a)
		for _, c := range a.Stats {
			got = append(got, fmt.Sprintln(a.Customer, c.Spent.Currency, c.Orders, c.Completed, c.Cancelled, c.Spent.Minor, c.Refunded.Minor,
				c.Tips.Minor, c.LastOrderAt.Format(time.RFC3339Nano)))
		}
		if a.Stats == nil || a.Excluded == nil || *a.Excluded != (excluded{}) {
			t.Errorf("got %+v, want a list, and that nothing is left out", a)
		}
	}
	compare(t, got, want)
}

// compare compares lines without regard to their order and to space at their ends.
func compare(t *testing.T, got, want []string) {
	t.Helper()
	for _, lines := range []*[]string{&got, &want} {
		*lines = slices.Clone(*lines)
		for i, l := range *lines {
			(*lines)[i] = string([]byte(l)[:len(l)-1])
		}
		slices.Sort(*lines)
	}
	if diff := cmp.Diff(got, want); diff != "" || len(want) == 0 {
		t.Errorf("(-got +want):\n%s", diff)
	}
}

type popularAnswer struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Items []item    `json:"items"`
	reflection
}

func TestPopularItemsAreTheMostOrderedOfTheirHours_I10(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := s.filled(10, 300)
	first, second := events[0].At.Truncate(time.Hour), events[0].At.Truncate(time.Hour).Add(time.Hour)
	var got []string
	for _, hour := range []time.Time{first, second} {
		var a popularAnswer
		s.get("/v1/items/popular?limit=100&from="+at(hour)+"&to="+at(hour.Add(time.Hour))).into(t, &a)
		if !slices.IsSortedFunc(a.Items, func(a, b item) int { return int(b.Quantity - a.Quantity) }) || !a.From.Equal(hour) {
			t.Errorf("got %+v, want the most popular first, from %s", a, hour)
		}
		for _, i := range a.Items {
			got = append(got, fmt.Sprintln(hour.Format(time.RFC3339), i.ID, i.Revenue.Currency, i.Orders, i.Quantity, i.Revenue.Minor))
		}
	}
	compare(t, got, oracle(events)["item_popularity"])
	var both, one popularAnswer
	s.get("/v1/items/popular?from="+at(first)+"&to="+at(second.Add(time.Hour))).into(t, &both)
	s.get("/v1/items/popular?limit=1&from="+at(first)+"&to="+at(second.Add(time.Hour))).into(t, &one)
	if len(one.Items) != 1 || one.Items[0] != both.Items[0] || len(both.Items) < 5 {
		t.Errorf("got %+v, want the first of %+v", one.Items, both.Items)
	}
}

type revenueAnswer struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Minutes []minute  `json:"minutes"`
	reflection
}

func TestRevenueIsThatOfItsMinutes_I10(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := s.filled(10, 300)
	begin := events[0].At.Truncate(time.Minute)
	var got []string
	for from := begin; from.Before(begin.Add(10 * time.Minute)); from = from.Add(2 * time.Minute) {
		var a revenueAnswer
		s.get("/v1/revenue?from="+at(from)+"&to="+at(from.Add(2*time.Minute))).into(t, &a)
		for _, m := range a.Minutes {
			got = append(got, fmt.Sprintln(m.Minute.Format(time.RFC3339), m.Gross.Currency, m.Orders, m.Gross.Minor, m.Refunded.Minor, m.Tips.Minor, m.Cancelled))
		}
	}
	compare(t, got, oracle(events)["revenue_minute"])
}

type kitchenPage struct {
	Orders []cooking `json:"orders"`
	reflection
}

func TestTheKitchenHasTheOldestPromiseFirst_I10(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := s.filled(40, 300)
	s.exec(`UPDATE kitchen_board SET promised_at = date_trunc('minute', promised_at)`) // many with the same
	var all []cooking
	for path := "/v1/kitchen?limit=3"; path != ""; {
		var p kitchenPage
		r := s.get(path)
		r.into(t, &p)
		all = append(all, p.Orders...)
		path = next(t, r)
	}
	if !slices.IsSortedFunc(all, func(a, b cooking) int { return a.PromisedAt.Compare(b.PromisedAt) }) {
		t.Error("not the oldest promise first")
	}
	var got, want []string
	for _, c := range all {
		got = append(got, fmt.Sprintln(c.Order, c.State, c.Items, c.Since.Format(time.RFC3339Nano)))
	}
	for _, line := range oracle(events)["kitchen_board"] {
		var id, state, items, promised, since string
		if _, err := fmt.Sscan(line, &id, &state, &items, &promised, &since); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintln(id, state, items, since))
	}
	compare(t, got, want)
}

func TestSumsSayWhatTheyLeaveOut(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := history(0, 5, 150)
	spoilt := slices.IndexFunc(events, func(e view.Event) bool { return e.Type == event.TypeOrderReady })
	id := events[spoilt].Order
	out := int64(0)
	for _, e := range events[spoilt:] {
		if e.Order == id {
			out++
		}
	}
	events[spoilt] = unreadable(events[spoilt])
	s.apply(0, events)
	s.exec(`INSERT INTO dead_letters (topic, part, record_offset, order_id, version, reason, error, state, headers, recorded_at, settled_at, note)
		VALUES ('food-orders', 1, 5, NULL, NULL, 'undecodable', 'made up', 'discarded', '[]', now(), now(), 'not ours'),
		       ('another', 1, 5, NULL, NULL, 'undecodable', 'made up', 'waiting', '[]', now(), NULL, NULL)`)
	want := excluded{Events: out + 1, BlockedOrders: 1}
	for _, path := range []string{"/v1/customers/1/stats", "/v1/items/popular", "/v1/revenue", "/v1/kitchen", "/v1/customers/1/orders"} {
		var a struct{ Excluded excluded }
		if err := unmarshal(s.get(path), &a); err != nil || a.Excluded != want {
			t.Errorf("%s: got %+v, %v; want %+v", path, a.Excluded, err, want)
		}
	}
	var board kitchenPage
	s.get("/v1/kitchen?limit=200").into(t, &board)
	on := map[uuid.UUID]*blocked{}
	for _, c := range board.Orders {
		on[c.Order] = c.Blocked
	}
	if b := on[id]; b == nil || b.Reason != "undecodable" || b.Events != out {
		t.Errorf("the blocked order is on the board with %+v, want that %d events wait", b, out)
	}
}
