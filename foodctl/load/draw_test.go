package load

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mixed(t *testing.T, m Mix) *drawer {
	t.Helper()
	d, err := m.drawer(menu(20), []Flaw{UnknownItem, BrokenRule})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestZipfPrefersTheFirstCustomersAndItems(t *testing.T) {
	t.Parallel()
	for zipf, hot := range map[float64][2]int{0: {80, 125}, 1.1: {2000, 3000}, 2: {5500, 6700}} {
		d := mixed(t, Mix{Customers: 100, Zipf: zipf})
		customers, items := make(map[int]int), make(map[int]int)
		for n := range uint64(10_000) {
			place := d.place(source(n))
			customers[place.CustomerID]++
			for _, l := range place.Lines {
				items[l.ItemID]++
			}
		}
		if n := customers[1]; n < hot[0] || n > hot[1] {
			t.Errorf("zipf %v: the first customer placed %d of 10,000 orders, want %d to %d", zipf, n, hot[0], hot[1])
		}
		if zipf > 0 && (customers[1] < 3*customers[10]/2 || items[1] < 2*items[20]) {
			t.Errorf("zipf %v: customers 1 and 10 placed %d and %d, items 1 and 20 were ordered %d and %d times",
				zipf, customers[1], customers[10], items[1], items[20])
		}
		if len(customers) > 100 || len(items) > 20 || zipf == 0 && (len(customers) != 100 || len(items) != 20) {
			t.Errorf("zipf %v: %d customers, %d items", zipf, len(customers), len(items))
		}
	}
}

func TestSharesAreAsAskedFor(t *testing.T) {
	t.Parallel()
	d := mixed(t, Mix{Act: 0.4, Read: 0.3, Invalid: 0.2, Duplicate: 0.5, Customers: 1})
	got := make(map[string]int)
	for n := range uint64(10_000) {
		w := d.draw(n)
		got[string(w.kind)]++
		if w.flaw != Sound {
			got["flawed"]++
			got[string(w.flaw)]++
		}
		if w.twice {
			got["twice"]++
		}
		if w.twice && (w.flaw != Sound || w.kind == Read) || (w.flaw == BrokenRule) != (w.kind == Act) && w.flaw != Sound {
			t.Fatalf("request %d is %+v", n, w)
		}
	}
	for what, want := range map[string]int{
		"read": 3000, "flawed": 1400, "twice": 2800, string(UnknownItem): 700, string(BrokenRule): 700, "act": 3900, "place": 3100,
	} {
		if d := got[what] - want; d < -200 || d > 200 {
			t.Errorf("%s: %d of 10,000, want some %d", what, got[what], want)
		}
	}
}

func TestSeedAndNumberDecideARequest(t *testing.T) {
	t.Parallel()
	of := func(seed, n uint64) any {
		d := mixed(t, Mix{Customers: 100, Items: 7, Zipf: 1.1, Seed: seed})
		return d.place(d.draw(n).r)
	}
	if diff := cmp.Diff(of(1, 7), of(1, 7)); diff != "" {
		t.Errorf("the same request differs: %s", diff)
	}
	if cmp.Equal(of(1, 7), of(2, 7)) || cmp.Equal(of(1, 7), of(1, 8)) {
		t.Error("another seed or number makes the same request")
	}
}
