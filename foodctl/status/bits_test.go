package status

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestBitsAreASetOfNumbers(t *testing.T) {
	t.Parallel()
	var b, other Bits
	has, theirs := make(map[int64]bool), make(map[int64]bool)
	r := rand.New(rand.NewPCG(1, 2)) // repeatable
	for range 50_000 {
		n := r.Int64N(3 * chunkBits)
		if b.Has(n) != has[n] {
			t.Fatalf("%d: has %v, want %v", n, b.Has(n), has[n])
		}
		if b.Set(n); n%7 == 0 {
			b.Clear(n)
		}
		has[n] = n%7 != 0
		n = r.Int64N(3 * chunkBits)
		other.Set(n)
		theirs[n] = true
	}
	var lacking []int64
	for n := range int64(3 * chunkBits) {
		if b.Has(n) != has[n] {
			t.Fatalf("%d: has %v, want %v", n, b.Has(n), has[n])
		}
		if has[n] && !theirs[n] {
			lacking = append(lacking, n)
		}
	}
	count, lowest := b.Without(&other, 100)
	if count != int64(len(lacking)) || !slices.Equal(lowest, lacking[:100]) {
		t.Errorf("%d are lacking, from %v; want %d, from %v", count, lowest[:3], len(lacking), lacking[:3])
	}
	other.Merge(b)
	if count, lowest = b.Without(&other, 1); count != 0 || lowest != nil {
		t.Errorf("%d are lacking of a set that has all, %v", count, lowest)
	}
}

func TestANumberFarOffCostsLittle(t *testing.T) {
	t.Parallel()
	var b Bits
	for _, n := range []int64{0, math.MaxInt64} {
		if b.Set(n); !b.Has(n) {
			t.Errorf("%d is not in the set that it was put into", n)
		}
	}
	if n := len(b.chunks); n != 2 {
		t.Errorf("%d chunks, want 2", n)
	}
	if n, lowest := b.Without(new(Bits), 2); n != 2 || !slices.Equal(lowest, []int64{0, math.MaxInt64}) {
		t.Errorf("%d numbers: %v", n, lowest)
	}
}
