package app

import (
	"math"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// paceOver is over how long the rate of the log is averaged: what is older counts for less than half. A server writes in
// bursts, and a countdown that jumps with each of them tells nobody anything.
const paceOver = time.Minute

// pace is how fast the server writes log. The zero value has seen nothing.
type pace struct {
	position outbox.LSN
	at       time.Time
	rate     float64 // bytes a second; 0 for not known
}

// to takes in where the log ends now and returns the rate. It begins anew at a log that has gone back: another server's.
func (p *pace) to(position outbox.LSN, now time.Time) float64 {
	passed := now.Sub(p.at).Seconds()
	switch {
	case p.at.IsZero() || position < p.position:
		p.rate = 0
	case passed <= 0:
		return p.rate
	case p.rate == 0:
		p.rate = float64(position-p.position) / passed
	default:
		weight := 1 - math.Exp(-passed/paceOver.Seconds())
		p.rate += weight * (float64(position-p.position)/passed - p.rate)
	}
	p.position, p.at = position, now
	return p.rate
}

// lostIn is after how long a slot that is acknowledged no more can be lost. It returns false where there is no end in sight.
func lostIn(slot wal.Slot, rate float64) (time.Duration, bool) {
	const most = float64(math.MaxInt64) / float64(time.Second)
	switch {
	case slot.Status == "lost":
		return 0, true
	case slot.Safe == nil || rate <= 0:
		return 0, false
	}
	seconds := float64(max(0, *slot.Safe)) / rate
	return time.Duration(min(seconds, most/2) * float64(time.Second)), true
}
