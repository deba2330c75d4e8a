package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestOrderIsWalkedThroughItsLife(t *testing.T) {
	t.Parallel()
	s := setup(t)
	place := s.post("/v1/orders", soup, "Traceparent", trace, "Correlation-Id", "lunch-42")
	placed := place.order(t)
	path := place.header.Get("Location")
	if place.code != http.StatusCreated || path != "/v1/orders/"+placed.ID.String() || place.header.Get("ETag") != `"1"` {
		t.Fatalf("place: got %d, Location %q, ETag %s", place.code, path, place.header.Get("ETag"))
	}
	if want := (event.Money{Minor: 2 * 590, Currency: "EUR"}); placed.Total != want {
		t.Errorf("total: got %v, want the menu's %v", placed.Total, want)
	}
	version := int64(1)
	var last reply
	for _, step := range []struct {
		verb, body string
		events     int64
	}{
		{"fail-payment", `{"reason":"card declined"}`, 1},
		{"pay", ``, 1},
		{"amend", `{"lines":[{"item_id":2,"quantity":1},{"item_id":13,"quantity":1}]}`, 1},
		{"unavailable", `{"item_id":13}`, 1},
		{"accept", fmt.Sprintf(`{"ready_at":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339)), 1},
		{"prepare", `{}`, 1},
		{"ready", ``, 1},
		{"dispatch", `{"courier":"Kim"}`, 1},
		{"deliver", ``, 2},
		{"refund", `{"amount":{"minor":50,"currency":"EUR"},"reason":"cold"}`, 1},
		{"deny-refund", `{"reason":"was hot"}`, 1},
		{"refund", `{"amount":{"minor":50,"currency":"EUR"},"reason":"still cold"}`, 1},
		{"issue-refund", ``, 1},
		{"tip", `{"amount":{"minor":200,"currency":"EUR"}}`, 1},
		{"rate", `{"stars":4}`, 1},
	} {
		version += step.events
		last = s.post(path+"/"+step.verb, step.body)
		want := fmt.Sprintf("%s@%d", placed.ID, version)
		if last.code != http.StatusOK || last.header.Get("Order-Version") != want || last.header.Get("ETag") != fmt.Sprintf("%q", fmt.Sprint(version)) {
			t.Fatalf("%s: got %d %s at %q, want 200 at %q", step.verb, last.code, last.body, last.header.Get("Order-Version"), want)
		}
		if got := last.order(t); int64(len(got.Events)) != step.events || got.Events[0].Version != version-step.events+1 {
			t.Errorf("%s: got events %+v, want the %d that it made", step.verb, got.Events, step.events)
		}
	}
	got, want := s.get(path).order(t), last.order(t)
	want.Events = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GET is not what the last answer showed (-want +got):\n%s", diff)
	}
	var h history
	if err := json.Unmarshal([]byte(s.get(path+"/events").body), &h); err != nil {
		t.Fatal(err)
	}
	headers := map[string]string{"traceparent": trace, "correlation_id": "lunch-42", "actor": "api"}
	if diff := cmp.Diff(headers, h.Events[0].Headers); diff != "" {
		t.Errorf("headers of the first event (-want +got):\n%s", diff)
	}
	for i, e := range h.Events {
		if e.Version != int64(i)+1 {
			t.Errorf("event %d has version %d", i, e.Version)
		}
	}
	if h.Version != version || len(h.Events) != int(version) {
		t.Errorf("history: %d events up to %d, want %d", len(h.Events), h.Version, version)
	}
	metrics := "# HELP events_appended_total Events committed by commands of the API.\n# TYPE events_appended_total counter\n" +
		fmt.Sprintf("events_appended_total %d\n", version)
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(metrics), "events_appended_total"); err != nil {
		t.Error(err)
	}
}

func TestEveryCommandHasAVerb(t *testing.T) {
	t.Parallel()
	s := setup(t)
	written := map[reflect.Type]string{}
	for _, verb := range s.verbs() {
		ref := s.huma.OpenAPI().Paths["/v1/orders/{id}/"+verb].Post.RequestBody.Content["application/json"].Schema.Ref
		written[s.huma.OpenAPI().Components.Schemas.TypeFromRef(ref)] = verb
		if r := s.post(s.placed()+"/"+verb, `{}`); r.code == http.StatusNotFound || r.code >= 500 {
			t.Errorf("%s: got %d %s", verb, r.code, r.body)
		}
	}
	written[reflect.TypeFor[order.Amend]()] = written[reflect.TypeFor[amendment]()]
	for _, c := range []order.Command{
		order.AuthorizePayment{},
		order.FailPayment{},
		order.Accept{},
		order.Reject{},
		order.Amend{},
		order.MarkItemUnavailable{},
		order.StartPreparing{},
		order.MarkReady{},
		order.Dispatch{},
		order.Collect{},
		order.ConfirmDelivery{},
		order.FailDelivery{},
		order.Cancel{},
		order.RequestRefund{},
		order.IssueRefund{},
		order.DenyRefund{},
		order.AddTip{},
		order.Rate{},
		order.Expire{},
	} {
		if written[reflect.TypeOf(c)] == "" {
			t.Errorf("%s has no verb", c.Name())
		}
	}
}

func TestMenuHasPricesAndTheClientSetsNone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var m struct{ Items []item }
	if err := json.Unmarshal([]byte(s.get("/v1/menu").body), &m); err != nil || len(m.Items) != 20 {
		t.Fatalf("got %d items (%v), want 20", len(m.Items), err)
	}
	if want := (item{1, "Tomato Soup", "starter", event.Money{Minor: 590, Currency: "EUR"}}); m.Items[0] != want {
		t.Errorf("got %+v, want %+v", m.Items[0], want)
	}
	r := s.post("/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":1,"quantity":1,"unit_price":{"minor":1,"currency":"EUR"}}]}`)
	if p := r.problem(t); r.code != http.StatusUnprocessableEntity || p.Errors[0].Pointer != "#/lines/0/unit_price" {
		t.Errorf("a price from the client: got %d %s, want 422", r.code, r.body)
	}
}

func TestOrdersHaveTheMenusPricesOfAMomentAgo(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.placed() // the menu is known now
	s.exec("INSERT INTO menu_items (id, name, category, price_minor, currency) VALUES (21, 'Pho', 'main', 1100, 'EUR')")
	if r := s.post("/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":21,"quantity":1}]}`); r.code != http.StatusCreated {
		t.Errorf("a new item: got %d %s, want it at once", r.code, r.body)
	}
	s.exec("UPDATE menu_items SET price_minor = 600 WHERE id = 1")
	changed := time.Now()
	for s.post("/v1/orders", soup).order(t).Total.Minor != 2*600 {
		if time.Since(changed) > time.Minute {
			t.Fatal("after a minute the old price is still charged")
		}
	}
}

func TestIfMatchHoldsTheVersion_I2(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	if r := s.post(path+"/pay", ``, "If-Match", `"1"`); r.code != http.StatusOK {
		t.Fatalf("the right version: got %d %s", r.code, r.body)
	}
	r := s.post(path+"/cancel", `{"by":"customer","reason":"changed my mind"}`, "If-Match", `"1"`)
	if p := r.problem(t); r.code != http.StatusPreconditionFailed || p.Type != "/problems/precondition-failed" {
		t.Errorf("an old version: got %d %s, want 412", r.code, r.body)
	}
	if got := s.get(path).order(t).Fulfilment; got != order.Confirmed {
		t.Errorf("got %s, want the order as it was", got)
	}
	if r := s.post(path+"/cancel", `{"by":"customer","reason":"changed my mind"}`, "If-Match", `*`); r.code != http.StatusOK {
		t.Errorf("any version: got %d %s", r.code, r.body)
	}
}
