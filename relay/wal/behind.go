package wal

import "time"

// backlogAge is how long ago a transaction must have been committed, when it arrives, for the stream to be behind. Higher: what piles up
// while the machine is busy is published in crumbs, which keeps it busy. Lower: a pause where there is no backlog.
const backlogAge = 15 * time.Millisecond

// clockDrift is by how much of the time that passes two clocks may move apart: twice of what NTP allows a clock that it adjusts.
const clockDrift = 0.001

// behind tells a stream that is behind from a server whose clock is another one. Commit times are of that clock, so that only their
// differences count: a stream that keeps up has the smallest there is.
type behind struct {
	least time.Duration // between a commit, by the server's clock, and its arrival, by ours
	asked time.Time
}

// is says whether a transaction that was committed then, by the server's clock, arrives late.
func (b *behind) is(committed, now time.Time) bool {
	if !b.asked.IsZero() {
		b.least += time.Duration(float64(now.Sub(b.asked)) * clockDrift)
	}
	age := now.Sub(committed)
	b.least, b.asked = min(b.least, age), now
	return age-b.least > backlogAge
}
