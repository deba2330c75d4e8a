package status

import (
	"math"
	"sort"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// histogram is what a Prometheus histogram has counted, by upper bound in seconds, cumulative.
type histogram map[float64]uint64

// add takes in another process's histogram of the same metric.
func (h histogram) add(m *dto.MetricFamily) {
	for _, metric := range m.GetMetric() {
		for _, b := range metric.GetHistogram().GetBucket() {
			h[b.GetUpperBound()] += b.GetCumulativeCount()
		}
		h[math.Inf(1)] += infinite(metric.GetHistogram())
	}
}

// infinite is the count of the bucket without bound, if it is not among the buckets itself.
func infinite(h *dto.Histogram) uint64 {
	for _, b := range h.GetBucket() {
		if math.IsInf(b.GetUpperBound(), 1) {
			return 0
		}
	}
	return h.GetSampleCount()
}

// since is what was counted after an earlier reading. A process that was started again in between counts from zero: then
// all of it is new.
func (h histogram) since(earlier histogram) histogram {
	if h[math.Inf(1)] < earlier[math.Inf(1)] {
		return h
	}
	d := make(histogram, len(h))
	for bound, n := range h {
		d[bound] = n - min(n, earlier[bound])
	}
	return d
}

// quantile estimates the q-quantile as Prometheus does: linearly within the bucket. It is 0 when nothing was counted, and
// the highest finite bound for what is above that.
func (h histogram) quantile(q float64) time.Duration {
	bounds := make([]float64, 0, len(h))
	for b := range h {
		bounds = append(bounds, b)
	}
	sort.Float64s(bounds)
	if len(bounds) == 0 || h[bounds[len(bounds)-1]] == 0 {
		return 0
	}
	rank := q * float64(h[bounds[len(bounds)-1]])
	lower, below := 0.0, 0.0
	for _, bound := range bounds {
		n := float64(h[bound])
		if n >= rank && !math.IsInf(bound, 1) && n > below {
			return seconds(lower + (bound-lower)*(rank-below)/(n-below))
		}
		if !math.IsInf(bound, 1) {
			lower, below = bound, n
		}
	}
	return seconds(lower)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
