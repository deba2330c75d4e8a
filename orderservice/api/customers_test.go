package api

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

func (s *service) erase(id string) reply {
	return s.send(http.MethodDelete, "/v1/customers/"+id, nil, "Correlation-Id", "forget-me")
}

func TestCustomerIsErasedOnceAndOrdersNothingMore_I12(t *testing.T) {
	t.Parallel()
	s := setup(t)
	before := s.get("/v1/customers/7")
	if before.code != http.StatusOK || !strings.Contains(before.body, "@") {
		t.Fatalf("got %d %s, want the customer", before.code, before.body)
	}
	order := s.placed() // by customer 7
	answers := make([]reply, 4)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = s.erase("7") })
	}
	all.Wait()
	first := 0
	for _, r := range answers {
		if r.code != http.StatusOK || r.body != answers[0].body {
			t.Errorf("got %d %s and %s, want one answer", r.code, r.body, answers[0].body)
		}
		if r.header.Get("Idempotency-Replayed") == "" {
			first++
		}
	}
	if !strings.Contains(answers[0].body, `"customer.erased.v1"`) || !strings.Contains(answers[0].body, `"correlation_id":"forget-me"`) || first != 1 {
		t.Errorf("got %s, of %d that did it; want the event, of 1", answers[0].body, first)
	}
	if r := s.get("/v1/customers/7"); r.problem(t).Type != "/problems/gone" || r.code != http.StatusGone {
		t.Errorf("afterwards: got %d %s, want 410", r.code, r.body)
	}
	if r := s.post("/v1/orders", soup); r.code != http.StatusUnprocessableEntity || r.problem(t).Errors[0].Pointer != "#/customer_id" {
		t.Errorf("an order of the erased: got %d %s, want 422", r.code, r.body)
	}
	if r := s.post(order+"/pay", ``); r.code != http.StatusOK {
		t.Errorf("an order from before: got %d %s, want it to go on", r.code, r.body)
	}
	if n := s.count("customer_details"); n != 99 {
		t.Errorf("the details of %d customers are there, want 99", n)
	}
}

func TestCustomerThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, id := range []string{"101", "0", "-1", "x", "99999999999"} {
		for _, r := range []reply{s.get("/v1/customers/" + id), s.erase(id)} {
			if p := r.problem(t); r.code != http.StatusNotFound || p.Type != "/problems/not-found" {
				t.Errorf("%s: got %d %s, want 404", id, r.code, r.body)
			}
		}
	}
	if r := s.send(http.MethodPost, "/v1/customers/1", nil); r.code != http.StatusMethodNotAllowed || r.header.Get("Allow") != "DELETE, GET" {
		t.Errorf("POST: got %d, Allow %q, want what there is", r.code, r.header.Get("Allow"))
	}
}
