package bench

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

func tell(t *testing.T, l *lives, n int) (list []told) {
	t.Helper()
	for range n {
		e, err := l.tell()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func TestLivesAreToldTheSameAgain(t *testing.T) {
	t.Parallel()
	first := tell(t, newLives(5, 100), 3000)
	if diff := cmp.Diff(first, tell(t, newLives(5, 100), 3000)); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
	if other := tell(t, newLives(6, 100), 1); other[0].ID == first[0].ID {
		t.Error("another seed tells the same")
	}
}

// TestLivesAreWholeAndOfAllTypes goes through orders in small and large numbers at a time.
func TestLivesAreWholeAndOfAllTypes(t *testing.T) {
	t.Parallel()
	for _, open := range []int{1, 1000} {
		versions, ids := make(map[uuid.UUID]int64), make(map[uuid.UUID]bool)
		types := make(map[event.Type]int)
		ended := 0
		for _, e := range tell(t, newLives(1, open), 100_000) {
			if e.Version != versions[e.Order]+1 || e.State.Version != e.Version || ids[e.ID] {
				t.Fatalf("%d open: version %d of order %s comes after %d; state at %d", open, e.Version, e.Order, versions[e.Order], e.State.Version)
			}
			versions[e.Order], ids[e.ID] = e.Version, true
			types[e.Type]++
			if e.State.Fulfilment.Terminal() {
				ended++
			}
		}
		if n := len(versions); n < 9000 || n > 15_000 || ended < n-open {
			t.Errorf("%d open: %d orders of 100,000 events", open, n)
		}
		if len(types) != 21 { // all but none
			t.Errorf("%d open: %d types: %v", open, len(types), types)
		}
	}
}
