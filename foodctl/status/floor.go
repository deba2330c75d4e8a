package status

import "time"

// settled is how long after an outbox row's insertion no row with a lower sequence number is expected any more: sequence numbers are
// given out in another order than transactions commit.
const settled = 10 * time.Second

// Floor is the sequence number up to which all rows have been seen, so that only those above it need be read. Whoever reads with it may
// miss the rows of a transaction that takes longer than ten seconds.
type Floor struct {
	number int64
	marks  []mark
}

// mark is the highest sequence number that had been seen at a moment.
type mark struct {
	at  time.Time
	seq int64
}

// At is the floor at a moment: the newest highest number that is old enough.
func (f *Floor) At(now time.Time) int64 {
	for len(f.marks) > 0 && now.Sub(f.marks[0].at) >= settled {
		f.number = f.marks[0].seq
		f.marks = f.marks[1:]
	}
	return f.number
}

// Note notes the highest number that has been seen.
func (f *Floor) Note(now time.Time, highest int64) { f.marks = append(f.marks, mark{now, highest}) }
