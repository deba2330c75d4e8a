package api

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestRetryWithTheSameKeyHasOneEffect_I12(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first := s.post("/v1/orders", soup, "Idempotency-Key", `"lunch"`)
	path := first.header.Get("Location")
	reformatted := strings.ReplaceAll(soup, " ", "\n")
	for name, again := range map[string]func() reply{
		"same bytes":        func() reply { return s.post("/v1/orders", soup, "Idempotency-Key", `"lunch"`) },
		"bare key":          func() reply { return s.post("/v1/orders", soup, "Idempotency-Key", `lunch`) },
		"other white space": func() reply { return s.post("/v1/orders", reformatted, "Idempotency-Key", `"lunch"`) },
		"after it moved on": func() reply {
			s.post(path+"/pay", ``, "Idempotency-Key", "pay-1")
			return s.post("/v1/orders", soup, "Idempotency-Key", `"lunch"`)
		},
		"after the item left the menu": func() reply {
			s.exec("UPDATE menu_items SET id = 1001 WHERE id = 1")
			return s.post("/v1/orders", soup, "Idempotency-Key", `"lunch"`)
		},
	} {
		r := again()
		if r.code != first.code || r.body != first.body || r.header.Get("Location") != path || r.header.Get("ETag") != `"1"` {
			t.Errorf("%s: got %d %s, want the first answer %d %s", name, r.code, r.body, first.code, first.body)
		}
		if r.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: the answer is not marked as replayed", name)
		}
	}
	if first.header.Get("Idempotency-Replayed") != "" {
		t.Error("the first answer is marked as replayed")
	}
	if n := s.count("orders"); n != 1 {
		t.Errorf("got %d orders, want 1", n)
	}
}

func TestRetriedActionHasOneEffect_I12(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	first := s.post(path+"/pay", ``, "Idempotency-Key", "pay", "If-Match", `"1"`)
	again := s.post(path+"/pay", `{}`, "Idempotency-Key", "pay", "If-Match", `"1"`)
	if first.code != http.StatusOK || again.body != first.body || again.header.Get("Order-Version") != first.header.Get("Order-Version") {
		t.Errorf("got %d %s and then %d %s, want the same", first.code, first.body, again.code, again.body)
	}
	if n := s.count("outbox"); n != 2 {
		t.Errorf("got %d events, want 2", n)
	}
}

func TestKeyOfAnotherRequestIsRefused_I12(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	other := s.placed()
	s.post(path+"/fail-payment", `{"reason":"declined"}`, "Idempotency-Key", "k")
	for name, r := range map[string]reply{
		"other body":  s.post(path+"/fail-payment", `{"reason":"expired"}`, "Idempotency-Key", "k"),
		"other verb":  s.post(path+"/pay", ``, "Idempotency-Key", "k"),
		"other order": s.post(other+"/fail-payment", `{"reason":"declined"}`, "Idempotency-Key", "k"),
		"place":       s.post("/v1/orders", soup, "Idempotency-Key", "k"),
		"off menu":    s.post("/v1/orders", `{"customer_id":7,"service":"pickup","lines":[{"item_id":99,"quantity":1}]}`, "Idempotency-Key", "k"),
	} {
		if p := r.problem(t); r.code != http.StatusUnprocessableEntity || p.Type != "/problems/key-reused" {
			t.Errorf("%s: got %d %s, want 422", name, r.code, r.body)
		}
	}
	if n := s.count("outbox"); n != 3 {
		t.Errorf("got %d events, want the 3 of before", n)
	}
}

func TestRefusedCommandLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := s.placed()
	if r := s.post(path+"/expire", `{"x":1}`, "Idempotency-Key", "k"); r.code != http.StatusUnprocessableEntity {
		t.Fatalf("got %d %s, want 422", r.code, r.body)
	}
	if r := s.post(path+"/pay", ``, "Idempotency-Key", "k"); r.code != http.StatusOK {
		t.Errorf("got %d %s, want the key to be unused", r.code, r.body)
	}
}

func TestTwoAtOnceWithOneKeyHaveOneEffect_I12(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const clients = 8
	replies := make([]reply, clients)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() { replies[i] = s.post("/v1/orders", soup, "Idempotency-Key", "at-once") })
	}
	all.Wait()
	made := 0
	for _, r := range replies {
		switch {
		case r.code == http.StatusCreated && r.header.Get("Idempotency-Replayed") == "":
			made++
		case r.code != http.StatusCreated && r.problem(t).Type != "/problems/key-in-use":
			t.Errorf("got %d %s, want 201 or that the key is in use", r.code, r.body)
		}
	}
	if n := s.count("orders"); made != 1 || n != 1 {
		t.Errorf("%d answers made an order and %d orders are there, want 1 and 1", made, n)
	}
}

func TestKeyInFlightIsAConflict_I12(t *testing.T) {
	t.Parallel()
	s := setup(t)
	release := s.holding(`INSERT INTO idempotency_keys (key, request_hash, order_id, version) VALUES ('slow', decode(repeat('00', 32), 'hex'), gen_random_uuid(), 1)`)
	defer release()
	r := s.post("/v1/orders", soup, "Idempotency-Key", "slow")
	if p := r.problem(t); r.code != http.StatusConflict || p.Type != "/problems/key-in-use" || r.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want a conflict and when to come again", r.code, r.body)
	}
	release()
	if r := s.post("/v1/orders", soup, "Idempotency-Key", "slow"); r.code != http.StatusCreated {
		t.Errorf("afterwards: got %d %s, want the order", r.code, r.body)
	}
}
