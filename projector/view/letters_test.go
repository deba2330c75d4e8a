package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// raw is an event as the tests have it in a record.
type raw event.Event

func (r raw) Record() Record {
	value, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return Record{Key: []byte(r.Order.String()), Value: value, Headers: []Header{{"a", []byte{0, 0xff}}, {"null", nil}, {"a", []byte{}}}, At: r.At}
}

// reread is the decoder for what raw has written.
func reread(r Record, at Place) Event {
	var e Event
	if err := json.Unmarshal(r.Value, &e.Event); err != nil {
		panic(err)
	}
	e.Offset, e.LeaderEpoch, e.Raw = at.Offset, -1, raw(e.Event)
	e.Data, e.Err = e.Event.Data()
	return e
}

var errBroken = errors.New("broken")

// without leaves out the order's events from a version on.
func without(events []Event, order uuid.UUID, from int64) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return e.Order == order && e.Version >= from })
}

// later returns an event that has at least two more of its order behind it.
func later(events []Event) int {
	for i, e := range events {
		n := 0
		for _, other := range events[i:] {
			if other.Order == e.Order {
				n++
			}
		}
		if e.Version >= 2 && n > 2 {
			return i
		}
	}
	panic("no such event")
}

func (b *bench) letters(state string) []Letter {
	b.Helper()
	letters, err := b.view.Letters(b.Context(), Which{State: state})
	if err != nil {
		b.Fatal(err)
	}
	return letters
}

// places fails the test unless the timeline's positions of partition 0 are 1..n.
func (b *bench) places(n int) {
	b.Helper()
	var count, lowest, highest int
	err := b.pool.QueryRow(b.Context(), `SELECT count(DISTINCT position), coalesce(min(position), 1), coalesce(max(position), 0) FROM order_timeline WHERE part = 0`).
		Scan(&count, &lowest, &highest)
	if err != nil || count != n || lowest != 1 || highest != n {
		b.Errorf("timeline: %d positions from %d to %d, want 1 to %d: %v", count, lowest, highest, n, err)
	}
}

// A hole blocks its order, until the event that fills it has come and those behind it are redriven.
func TestAHoleParksItsOrderAlone_I9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(5, 4, 60)
	lost := later(events)
	holed := slices.Delete(slices.Clone(events), lost, lost+1)
	p := b.claim("one")
	applied := b.apply(p, holed)
	want := without(events, events[lost].Order, events[lost].Version)
	b.want(folded(want))
	if parked := len(holed) - len(want); applied.Events != len(want) || len(applied.Parked) != parked {
		t.Fatalf("%d applied and %d parked, want %d and %d", applied.Events, len(applied.Parked), len(want), parked)
	}
	for i, l := range b.letters("waiting") {
		reason := Behind
		if i == 0 {
			reason = Hole
		}
		if l.Order != events[lost].Order || l.Version != events[lost].Version+1+int64(i) || l.Reason != reason {
			t.Errorf("letter %d: order %s v%d, %s", i, l.Order, l.Version, l.Reason)
		}
	}
	filled := events[lost]
	filled.Offset = events[len(events)-1].Offset + 1
	if applied := b.apply(p, []Event{filled}); !cmp.Equal(applied, Applied{Events: 1}) {
		t.Fatalf("the event that was missing: %+v", applied)
	}
	done, err := b.view.Redrive(t.Context(), filled.Order, reread)
	if err != nil || done.Left != 0 || done.Why != nil || done.Applied != len(events)-len(want)-1 {
		t.Fatalf("redrive: %+v, %v", done, err)
	}
	b.want(folded(events))
	b.places(len(events))
	if next, n, duplicates := b.counts(); n != int64(len(events)) || duplicates != 0 || next != filled.Offset+1 {
		t.Errorf("position %d, %d applied, %d duplicates", next, n, duplicates)
	}
	if again, err := b.view.Redrive(t.Context(), filled.Order, reread); err != nil || again != (Redriven{}) {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

// Whatever is broken, however the batches are cut, whoever owns the partition and whenever somebody redrives: what is applied is
// each order's history up to its first letter, and all of it when all causes are gone.
func TestLettersKeepTheirOrdersOrder_I8_I9_I10(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rapid.Check(t, func(r *rapid.T) {
		b.empty()
		events := history(rapid.Uint64().Draw(r, "seed"), rapid.IntRange(1, 6).Draw(r, "orders"), rapid.IntRange(1, 60).Draw(r, "events"))
		first := make(map[uuid.UUID]int64) // version of each order's first letter
		broken := slices.Clone(events)
		for i := range broken {
			e := &broken[i]
			if rapid.IntRange(0, 9).Draw(r, "broken") == 0 {
				e.Err = errBroken
				if v := first[e.Order]; v == 0 || e.Version < v {
					first[e.Order] = e.Version
				}
			}
		}
		p := b.claim("one")
		for rest := broken; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(r, "batch")
			b.apply(p, rest[:n])
			rest = rest[n:]
			if rapid.Bool().Draw(r, "new owner") {
				p = b.claim("another")
			}
		}
		want := events
		for order, version := range first {
			want = without(want, order, version)
		}
		if diff := cmp.Diff(viewtest.Stored(t, b.pool), folded(want)); diff != "" {
			r.Fatalf("blocked (-got +want):\n%s", diff)
		}
		for order := range first {
			done, err := b.view.Redrive(t.Context(), order, reread)
			if err != nil || done.Left != 0 {
				r.Fatalf("redrive: %+v, %v", done, err)
			}
		}
		if diff := cmp.Diff(viewtest.Stored(t, b.pool), folded(events)); diff != "" {
			r.Fatalf("redriven (-got +want):\n%s", diff)
		}
		b.places(len(events))
		if _, n, duplicates := b.counts(); n != int64(len(events)) || duplicates != 0 {
			r.Fatalf("%d applied, %d duplicates, want %d and 0", n, duplicates, len(events))
		}
	})
}

// Redrive holds the partition's offsets. Without that a batch could park an event behind letters that are being applied, or both could
// apply to the same order.
func TestRedriveBesideBatches_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(8, 3, 400)
	orders := make(map[uuid.UUID]bool)
	for i := range events {
		orders[events[i].Order] = true
		if i%7 == 3 {
			events[i].Err = errBroken
		}
	}
	p := b.claim("one")
	over := make(chan struct{})
	var redriving sync.WaitGroup
	for range 2 {
		redriving.Go(func() {
			for last := false; !last; {
				select {
				case <-over:
					last = true // once more, with all letters there
				default:
				}
				for order := range orders {
					if _, err := b.view.Redrive(t.Context(), order, reread); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for rest := events; len(rest) > 0; rest = rest[5:] {
		b.apply(p, rest[:5])
	}
	close(over)
	redriving.Wait()
	b.want(folded(events))
	b.places(len(events))
	if n := len(b.letters("waiting")); n != 0 {
		t.Errorf("%d letters wait", n)
	}
	if n := len(b.letters("redriven")); n < 400/7 {
		t.Errorf("%d letters were redriven: the test does not test it", n)
	}
}

func TestARecordIsKeptAsItWas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(9, 2, 10)
	events[4].Err = fmt.Errorf("%w: \x00 \xff %s", errBroken, strings.Repeat("x", 5000))
	b.apply(b.claim("one"), events)
	got := b.letters("waiting")[0]
	if diff := cmp.Diff(got.Record, events[4].Raw.Record(), cmp.Comparer(func(a, b Header) bool {
		return a.Key == b.Key && string(a.Value) == string(b.Value) && (a.Value == nil) == (b.Value == nil)
	})); diff != "" {
		t.Errorf("record (-got +want):\n%s", diff)
	}
	if !strings.HasPrefix(got.Error, "broken: ? ?") || got.Reason != Undecodable || got.Offset != events[4].Offset {
		t.Errorf("letter %+v", got)
	}
}

// What has an order's key and is no event of it blocks nothing either: the versions around it have no hole.
func TestARecordThatIsNoEventLeavesItsOrderAlone_I9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(14, 2, 30)
	for i := range events {
		events[i].Offset *= 2
	}
	junk := Event{Event: event.Event{Order: events[10].Order}, Offset: events[9].Offset + 1, LeaderEpoch: -1, Err: errBroken, Raw: raw{}}
	applied := b.apply(b.claim("one"), slices.Insert(slices.Clone(events), 10, junk))
	if applied.Events != 30 || len(applied.Parked) != 1 || applied.Parked[0].Offset != junk.Offset {
		t.Errorf("applied %+v", applied)
	}
	b.want(folded(events))
}

// What is no order's event blocks nobody.
func TestARecordOfNoOrderIsParkedByItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(10, 3, 30)
	stray := Event{Offset: events[14].Offset, LeaderEpoch: -1, Err: errBroken, Raw: raw{}}
	rest := slices.Delete(slices.Clone(events), 14, 15)
	with := slices.Insert(slices.Clone(rest), 14, stray)
	b.apply(b.claim("one"), with)
	if rest[14].Order == events[14].Order { // then its hole blocks that order
		t.Fatal("choose another seed")
	}
	letters := b.letters("waiting")
	if letters[0].Order != uuid.Nil || letters[0].Version != 0 {
		t.Errorf("letter %+v", letters[0])
	}
	n, err := b.view.Discard(t.Context(), Which{Record: &Place{0, stray.Offset}}, "not ours")
	if err != nil || n != 1 {
		t.Errorf("%d discarded, %v", n, err)
	}
	if got := b.letters("discarded"); len(got) != 1 || got[0].Note != "not ours" || got[0].Settled == nil {
		t.Errorf("discarded: %+v", got)
	}
}

func TestTooManyBlockedOrdersStopThePartition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view.maxBlocked = 2
	events := history(11, 5, 60)
	blocked := make(map[uuid.UUID]bool)
	third := -1
	for i := range events {
		if events[i].Version == 2 {
			events[i].Err = errBroken
			if blocked[events[i].Order] = true; len(blocked) == 3 {
				third = i
				break
			}
		}
	}
	p := b.claim("one")
	_, err := p.Apply(t.Context(), events)
	refusal, is := errors.AsType[*Refusal](err)
	if !is || !errors.Is(err, ErrTooManyBlocked) || refusal.Offset != events[third].Offset {
		t.Fatalf("got %v (%+v), want a refusal of event %d", err, refusal, third)
	}
	b.want(folded(nil))
	b.apply(p, events[:third])
	if next, _, _ := b.counts(); next > events[third].Offset {
		t.Errorf("position %d is past the event at %d", next, events[third].Offset)
	}
	if n, err := b.view.Blocked(t.Context()); err != nil || n[0] != 2 {
		t.Errorf("blocked %v, %v", n, err)
	}
}

// An order whose event is given up stays blocked by the hole.
func TestDiscardGivesUpWhatItSays_I9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(12, 4, 60)
	bad := later(events)
	events[bad].Err = errBroken
	order := events[bad].Order
	p := b.claim("one")
	b.apply(p, events)
	waiting := len(b.letters("waiting"))
	if _, err := b.view.Discard(t.Context(), Which{}, "all"); err == nil {
		t.Error("all letters of all orders were discarded")
	}
	if n, err := b.view.Discard(t.Context(), Which{Record: &Place{0, events[bad].Offset}}, "wrong"); err != nil || n != 1 {
		t.Fatalf("%d discarded, %v", n, err)
	}
	done, err := b.view.Redrive(t.Context(), order, reread)
	if err != nil || done.Applied != 0 || done.Left != waiting-1 || !errors.Is(done.Why, errHole) {
		t.Fatalf("redrive behind a discarded event: %+v, %v", done, err)
	}
	if n, err := b.view.Discard(t.Context(), Which{Order: order}, "given up"); err != nil || n != int64(waiting-1) {
		t.Fatalf("%d discarded, %v", n, err)
	}
	b.want(folded(without(events, order, events[bad].Version)))
	var excluded, orders int
	if err := b.pool.QueryRow(t.Context(), `SELECT events, blocked_orders FROM excluded_events`).Scan(&excluded, &orders); err != nil {
		t.Fatal(err)
	}
	if excluded != waiting || orders != 0 {
		t.Errorf("%d events excluded, %d orders blocked, want %d and 0", excluded, orders, waiting)
	}
}

func TestAnEventThatNoOrderCanTakeIsParked(t *testing.T) {
	t.Parallel()
	order := uuid.New()
	line := event.Line{ItemID: 1, Quantity: 1, UnitPrice: event.Money{Minor: 100, Currency: "EUR"}}
	placed := event.OrderPlaced{CustomerID: 1, Service: event.Delivery, Lines: []event.Line{line}, Total: event.Money{Minor: 100, Currency: "EUR"}}
	with := func(change func(*event.OrderPlaced)) event.OrderPlaced {
		p := placed
		p.Lines = slices.Clone(p.Lines)
		change(&p)
		return p
	}
	dollars := event.Money{Minor: 1, Currency: "USD"}
	for name, data := range map[string][]event.Data{
		"not placed":          {event.OrderReady{}},
		"placed again":        {placed, placed},
		"another currency":    {placed, event.PaymentCaptured{Amount: dollars}},
		"refund":              {placed, event.RefundIssued{Amount: dollars}},
		"tip":                 {placed, event.TipAdded{Amount: dollars}},
		"total":               {placed, event.OrderLinesChanged{Lines: placed.Lines, Total: dollars}},
		"price":               {placed, event.OrderLinesChanged{Lines: []event.Line{{ItemID: 1, UnitPrice: dollars}}, Total: placed.Total}},
		"item":                {placed, event.OrderLinesChanged{Lines: []event.Line{{ItemID: math.MaxInt64, UnitPrice: line.UnitPrice}}, Total: placed.Total}},
		"too much":            {placed, event.TipAdded{Amount: event.Money{Minor: math.MaxInt64, Currency: "EUR"}}},
		"too many":            {with(func(p *event.OrderPlaced) { p.Lines[0].Quantity = math.MaxInt64 })},
		"lines too dear":      {with(func(p *event.OrderPlaced) { p.Lines[0].Quantity, p.Lines[0].UnitPrice.Minor = 1_000_000, most })},
		"stars":               {placed, event.OrderRated{Stars: math.MaxInt64}},
		"no currency":         {with(func(p *event.OrderPlaced) { p.Total.Currency = "" })},
		"a zero byte":         {with(func(p *event.OrderPlaced) { p.Service = "a\x00" })},
		"customer":            {with(func(p *event.OrderPlaced) { p.CustomerID = math.MaxInt64 })},
		"a line's currency":   {with(func(p *event.OrderPlaced) { p.Lines[0].UnitPrice.Currency = "USD" })},
		"a currency too long": {with(func(p *event.OrderPlaced) { p.Total.Currency, p.Lines[0].UnitPrice.Currency = "EURO", "EURO" })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var events []Event
			for i, d := range data {
				e, err := event.New(order, int64(i+1), events0.At, d)
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, Event{Event: e, Offset: int64(i), LeaderEpoch: -1, Data: d, Raw: raw(e)})
			}
			applied := b.apply(b.claim("one"), events)
			if n := len(events) - 1; applied.Events != n || len(applied.Parked) != 1 || applied.Parked[0].Reason != Rule {
				t.Errorf("got %+v, want %d applied and one parked", applied, n)
			}
			b.want(folded(events[:len(events)-1]))
		})
	}
}

var events0 = history(1, 1, 1)[0]

func TestAModelThatThisProgramDoesNotKnowIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO read_models VALUES ('courier_stats')`); err != nil {
		t.Fatal(err)
	}
	claimed, refused, err := b.view.Claim(t.Context(), "old", Log{testTopicID, map[int32]Bounds{0: {0, 1}, 1: {0, 1}}})
	if err != nil || len(claimed) != 0 || len(refused) != 2 {
		t.Fatalf("claimed %v, refused %v, %v", claimed, refused, err)
	}
	if err := refused[1]; !errors.Is(err, ErrUnknownModel) || !strings.Contains(err.Error(), "courier_stats") {
		t.Errorf("got %v", err)
	}
}

func TestAModelThatTheTablesDoNotHoldIsNotWritten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.pool.Exec(t.Context(), `DELETE FROM read_models WHERE name = 'revenue_minute'`); err != nil {
		t.Fatal(err)
	}
	events := history(13, 3, 40)
	b.apply(b.claim("one"), events)
	want := folded(events)
	want["revenue_minute"] = []string{}
	b.want(want)
}
