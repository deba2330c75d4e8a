package bench

import (
	"math"
	"slices"
	"time"
)

// Quantiles of times, in seconds. One that so few values cannot tell apart from the largest is nil.
type Quantiles struct {
	Min  float64  `json:"min"`
	P50  float64  `json:"p50"`
	P90  *float64 `json:"p90"`
	P99  *float64 `json:"p99"`
	P999 *float64 `json:"p999"`
	Max  float64  `json:"max"`
}

// quantiles sorts the values.
func quantiles(values []time.Duration) (q Quantiles) {
	if len(values) == 0 {
		return q
	}
	slices.Sort(values)
	return Quantiles{
		Min: values[0].Seconds(), P50: values[rank(0.5, len(values))].Seconds(), Max: values[len(values)-1].Seconds(),
		P90: quantile(values, 0.9), P99: quantile(values, 0.99), P999: quantile(values, 0.999),
	}
}

// quantile is the least value that a part of all values are not above (nearest rank).
func quantile(sorted []time.Duration, part float64) *float64 {
	at := rank(part, len(sorted))
	if at == len(sorted)-1 {
		return nil
	}
	return new(sorted[at].Seconds())
}

func rank(part float64, n int) int {
	const rounding = 1e-9 // 0.999*1000 is a little more than 999
	return max(0, int(math.Ceil(part*float64(n)-rounding))-1)
}
