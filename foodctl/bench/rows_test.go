package bench

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestANumberIsFoundAgainByOrderAndVersionAndInTheSchedule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		own := trial(rapid.Uint32().Draw(t, "trial"))
		n := number(rapid.Int64Range(0, 1<<40).Draw(t, "number"))
		e := own.event(n)
		if got, ours := own.numberOf(e.Order, e.Version); !ours || got != n {
			t.Errorf("number %d, ours %v: want %d", got, ours, n)
		}
		if _, ours := (own + 1).numberOf(e.Order, e.Version); ours {
			t.Error("another trial takes it for its own")
		}
		if got := n.place().number(); got != n {
			t.Errorf("number %d: its place is that of %d", n, got)
		}
	})
}

func TestVersionsThatNoOrderHasAreNoNumber(t *testing.T) {
	t.Parallel()
	for _, version := range []int64{0, -1, perOrder + 1} {
		if n, ours := trial(1).numberOf(trial(1).id(5, 0), version); ours {
			t.Errorf("version %d is number %d", version, n)
		}
	}
}

// TestTheLanesWriteWholeOrdersInTheirOrder follows the schedule, as the writers do.
func TestTheLanesWriteWholeOrdersInTheirOrder(t *testing.T) {
	t.Parallel()
	type last struct {
		version int64
		lane    place
	}
	orders := make(map[uuid.UUID]last)
	const turns = 3 * perOrder
	for at := range place(turns * lanes) {
		e := trial(1).event(at.number())
		was, known := orders[e.Order]
		if e.Version != was.version+1 || known && was.lane != at%lanes {
			t.Fatalf("place %d: version %d comes after %d, in lane %d after %d", at, e.Version, was.version, at%lanes, was.lane)
		}
		orders[e.Order] = last{e.Version, at % lanes}
	}
	if want := turns / perOrder * lanes; len(orders) != want {
		t.Errorf("%d orders, want %d", len(orders), want)
	}
}

func TestARowIsWhatPostgresSends(t *testing.T) {
	t.Parallel()
	e := trial(7).event(12345)
	r, err := row(e, 99)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := r.Time(); err != nil || !at.Equal(e.At) {
		t.Errorf("time %v, %v: want %v", at, err, e.At)
	}
	var payload map[string]any
	if err := json.Unmarshal(r.Payload, &payload); err != nil || len(r.Payload) < 280 || len(r.Payload) > 360 {
		t.Errorf("a payload of %d bytes, %v: want JSON of some 300", len(r.Payload), err)
	}
	if string(r.Seq) != "99" || string(r.AggregateID) != e.Order.String() || e.At.Location() != time.UTC {
		t.Errorf("got %s", r.Seq)
	}
}
