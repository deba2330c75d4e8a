package status

import "time"

// settled is how long after an outbox row's insertion no row with a lower sequence number is expected any more, and far how many numbers
// later: sequence numbers are given out in another order than transactions commit.
const (
	settled = 10 * time.Second
	far     = 1_000_000
)

// Floor is the sequence number up to which all rows have been seen, so that only those above it need be read. Whoever reads with it may
// miss the rows of a transaction that takes longer than ten seconds, or that a million others overtake.
type Floor struct {
	number int64
	marks  []mark
}

// mark is the highest sequence number that had been seen at a moment.
type mark struct {
	at  time.Time
	seq int64
}

// At is the floor at a moment when this is the highest number.
func (f *Floor) At(now time.Time, highest int64) int64 {
	for len(f.marks) > 0 && now.Sub(f.marks[0].at) >= settled {
		f.number = max(f.number, f.marks[0].seq)
		f.marks = f.marks[1:]
	}
	f.number = max(f.number, highest-far)
	return f.number
}

// Note notes the highest number that has been seen.
func (f *Floor) Note(now time.Time, highest int64) { f.marks = append(f.marks, mark{now, highest}) }
