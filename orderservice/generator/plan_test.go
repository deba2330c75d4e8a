package generator

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/contract"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// invented is a generator in a world without a database.
func invented(seed uint64) *generator {
	g := &generator{Config: Config{Seed: seed, CancelRate: 0.3, FailureRate: 0.4, RefundRate: 0.4}}
	for i := 1; i <= 100; i++ {
		g.world.customers = append(g.world.customers, i)
	}
	for i := 1; i <= 20; i++ {
		price := event.Money{Minor: int64(100 * i), Currency: "EUR"}
		g.world.menu = append(g.world.menu, event.Line{ItemID: i, Name: fmt.Sprint("dish ", i), UnitPrice: price})
	}
	return g
}

func (g *generator) nth(n uint64) plan { return g.plan(rand.New(rand.NewPCG(g.Seed, n))) }

// act takes the plan's next step and returns its name, or "" at the end.
func act(t *testing.T, p *plan, o order.Order) (order.Order, string) {
	t.Helper()
	cmd := p.next(o)
	if cmd == nil {
		return o, ""
	}
	now := time.Now().UTC()
	decision, err := order.Decide(o, cmd, now)
	if err != nil {
		t.Fatalf("%s in %s, %s: %v", cmd.Name(), o.Fulfilment, o.Payment, err)
	}
	for _, data := range decision {
		o = order.Apply(o, o.Version+1, now, data)
	}
	return o, cmd.Name()
}

func TestEveryPlanKeepsTheRulesAndEnds(t *testing.T) {
	t.Parallel()
	g := invented(1)
	seen := make(map[string]int)
	for n := range uint64(3000) {
		p := g.nth(n)
		var o order.Order
		for step := "begin"; step != ""; {
			if o.Version > 20 {
				t.Fatalf("order %d does not end: %+v", n, o)
			}
			o, step = act(t, &p, o)
			seen[step]++
		}
		if !o.Fulfilment.Terminal() || o.OpenRefund != nil {
			t.Fatalf("order %d was left at %s, open refund %v", n, o.Fulfilment, o.OpenRefund)
		}
		seen[string(o.Fulfilment)]++
		seen[string(o.Payment)]++
	}
	for _, want := range []string{
		"place", "authorize_payment", "fail_payment", "accept", "reject", "amend", "mark_item_unavailable", "start_preparing",
		"mark_ready", "dispatch", "collect", "confirm_delivery", "fail_delivery", "cancel", "request_refund", "issue_refund",
		"deny_refund", "add_tip", "rate", "expire", "completed", "rejected", "cancelled", "delivery_failed", "expired",
		"none", "failed", "captured", "voided", "partially_refunded", "refunded",
	} {
		if seen[want] == 0 {
			t.Errorf("no order came by %s", want)
		}
	}
}

// An order may be taken up after a crash at any step, with a plan that knows nothing of the first.
func TestAnyPlanTakesUpAnyOrder(t *testing.T) {
	t.Parallel()
	g := invented(2)
	for n := range uint64(1000) {
		p, other := g.nth(n), g.nth(n+100_000)
		var o order.Order
		for range 1 + n%12 {
			o, _ = act(t, &p, o)
		}
		for step := "begin"; step != ""; {
			if o.Version > 30 {
				t.Fatalf("order %d does not end: %+v", n, o)
			}
			o, step = act(t, &other, o)
		}
	}
}

func TestSeedAndNumberDecideAnOrder(t *testing.T) {
	t.Parallel()
	same := func(a, b plan) bool {
		a.r, b.r = nil, nil
		return cmp.Equal(a, b, cmp.AllowUnexported(plan{}))
	}
	a, b := invented(1), invented(2)
	if !same(a.nth(7), invented(1).nth(7)) {
		t.Error("the same order differs")
	}
	if same(a.nth(7), a.nth(8)) || same(a.nth(7), b.nth(7)) {
		t.Error("another number or seed makes the same order")
	}
}

// With the race detector, which is what it is for.
func TestOrdersArePlannedWhileCustomersAreForgotten(t *testing.T) {
	t.Parallel()
	g := invented(1)
	var planning sync.WaitGroup
	for worker := range uint64(2) {
		planning.Go(func() {
			for n := range uint64(200) {
				g.nth(n + 1000*worker)
			}
		})
	}
	for id := 1; id < 100; id++ {
		if err := g.forget(id); err != nil {
			t.Error(err)
		}
	}
	planning.Wait()
	if p := g.nth(1); p.place.CustomerID != 100 {
		t.Errorf("customer %d orders, want the only one that was not forgotten, 100", p.place.CustomerID)
	}
}

func TestSomeCustomersAndItemsAreHot(t *testing.T) {
	t.Parallel()
	g := invented(3)
	customers, items := make(map[int]int), make(map[int]int)
	for n := range uint64(5000) {
		p := g.nth(n)
		customers[p.place.CustomerID]++
		for _, l := range p.place.Lines {
			items[l.ItemID]++
		}
	}
	if customers[1] < 750 || customers[1] > 1500 || len(customers) != 100 {
		t.Errorf("the first of %d customers placed %d of 5000 orders, want all 100 and some fifth", len(customers), customers[1])
	}
	if items[1] < 5*items[20] || len(items) != 20 {
		t.Errorf("of %d items the first is in %d orders, the last in %d", len(items), items[1], items[20])
	}
}

// The contracts hold for every event that is ever written: here, all that the plans of many seeds make, taken up by others too.
func TestEveryEventOfEveryPlanFitsItsSchema(t *testing.T) {
	t.Parallel()
	schemas := contract.Schemas(t)
	seen := make(map[event.Type]int)
	for seed := range uint64(10) {
		g := invented(seed)
		for n := range uint64(500) {
			p := g.nth(n)
			var o order.Order
			for cmd := p.next(o); cmd != nil; cmd = p.next(o) {
				if o.Version == int64(n%12) {
					p = g.nth(n + 100_000)
				}
				now := time.Now().UTC()
				decision, err := order.Decide(o, cmd, now)
				if err != nil {
					t.Fatal(err)
				}
				for _, data := range decision {
					e, err := event.New(uuid.New(), o.Version+1, now, data)
					if err != nil {
						t.Fatal(err)
					}
					if err := schemas.Written(e.Type, e.Payload); err != nil {
						t.Fatalf("seed %d, order %d: %s %s: %v", seed, n, e.Type, e.Payload, err)
					}
					seen[e.Type]++
					o = order.Apply(o, e.Version, now, data)
				}
			}
		}
	}
	if want := 21; len(seen) != want {
		t.Errorf("the plans make %d types of event, want all %d of an order: %v", len(seen), want, seen)
	}
}
