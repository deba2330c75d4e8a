package load

import (
	"fmt"
	"iter"
	"math"
	"time"
)

// Shape is how the rate goes with time.
type Shape string

// The shapes.
const (
	Constant Shape = "constant" // Rate all the time
	Ramp     Shape = "ramp"     // from Rate up to Peak, evenly
	Spike    Shape = "spike"    // Rate, and Peak in the middle fifth of the time
	Soak     Shape = "soak"     // Rate for long: the report says how the latency drifts
)

// Profile says when requests are due.
type Profile struct {
	Shape Shape   `json:"shape"`
	Rate  float64 `json:"rate"`           // requests a second
	Peak  float64 `json:"peak,omitempty"` // of Ramp and Spike

	Duration time.Duration `json:"-"`
}

// maxRate is far above what one process can send, and keeps the arithmetic exact.
const maxRate = 1e6

func (p Profile) check() error {
	peaked := p.Shape == Ramp || p.Shape == Spike
	switch {
	case !(p.Rate > 0 && p.Rate <= maxRate):
		return fmt.Errorf("--rate %v: give requests a second, above 0 and at most %.0f", p.Rate, maxRate)
	case peaked && !(p.Peak > 0 && p.Peak <= maxRate):
		return fmt.Errorf("--peak %v: give requests a second, above 0 and at most %.0f", p.Peak, maxRate)
	case p.Duration <= 0:
		return fmt.Errorf("--duration %s: give a time above 0", p.Duration)
	}
	return nil
}

// leg is a part of a profile in which the rate goes evenly from one value to another.
type leg struct {
	from, to float64
	lasts    float64 // seconds
}

func (p Profile) legs() []leg {
	all := p.Duration.Seconds()
	switch p.Shape {
	case Ramp:
		return []leg{{p.Rate, p.Peak, all}}
	case Spike:
		return []leg{{p.Rate, p.Rate, 0.4 * all}, {p.Peak, p.Peak, 0.2 * all}, {p.Rate, p.Rate, 0.4 * all}}
	default:
		return []leg{{p.Rate, p.Rate, all}}
	}
}

// arrivals are the times since the begin at which requests are due, the first of them at once. The n-th is due when the
// area below the rate has grown to n.
func (p Profile) arrivals() iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		var n, area, began float64
		for _, l := range p.legs() {
			for end := area + (l.from+l.to)/2*l.lasts; n < end-1e-9; n++ {
				if !yield(time.Duration((began + l.after(n-area)) * float64(time.Second))) {
					return
				}
			}
			area, began = area+(l.from+l.to)/2*l.lasts, began+l.lasts
		}
	}
}

// after is when the area below the leg has grown to n: the root of from*t + slope*t*t/2 = n, in the form that does not
// divide by a slope of zero.
func (l leg) after(n float64) float64 {
	if n <= 0 {
		return 0
	}
	slope := (l.to - l.from) / l.lasts
	return 2 * n / (l.from + math.Sqrt(max(0, l.from*l.from+2*slope*n)))
}
