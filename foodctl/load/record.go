package load

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Times are recorded in microseconds, up to a minute: nothing takes longer than patience, but for what waits for a place.
const longest = int64(time.Minute / time.Microsecond)

// digits that a recorded time keeps; fewer in the intervals, of which there are many.
const (
	digits         = 3
	intervalDigits = 2
)

// record is what came of the requests so far.
type record struct {
	every time.Duration // an interval

	mu         sync.Mutex // guards what follows
	arrived    int64
	heldBack   int64 // arrivals that had to wait for a place
	times      map[Kind]*times
	counts     map[counted]int64
	duplicates Duplicates
	violations int64
	findings   []string // the first
	intervals  []interval
}

// times are those of the sound requests of a kind that were done or got no answer. What was given twice is not in them.
type times struct{ latency, service *hdrhistogram.Histogram }

// counted is what answers are told apart by.
type counted struct {
	kind    Kind
	flaw    Flaw
	outcome Outcome
	status  string
}

// interval is a part of the time.
type interval struct {
	asked, done int64 // due in it; done in it
	latency     *hdrhistogram.Histogram
}

// mostIntervals is how many parts a profile's time has at most.
const mostIntervals = 60

func newRecord(p Profile) *record {
	every := (p.Duration/mostIntervals + time.Second - 1).Truncate(time.Second)
	r := &record{every: max(time.Second, every), times: make(map[Kind]*times), counts: make(map[counted]int64)}
	for _, kind := range kinds {
		r.times[kind] = &times{hdrhistogram.New(1, longest, digits), hdrhistogram.New(1, longest, digits)}
	}
	return r
}

// at is the interval of a time since the begin. The caller has the lock.
func (r *record) at(t time.Duration) *interval {
	i := int(t / r.every)
	for len(r.intervals) <= i {
		r.intervals = append(r.intervals, interval{latency: hdrhistogram.New(1, longest, intervalDigits)})
	}
	return &r.intervals[i]
}

// arrive records that a request is due, and returns its number, from 1.
func (r *record) arrive(due time.Duration) (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrived++
	r.at(due).asked++
	return uint64(r.arrived) //nolint:gosec // above 0
}

func (r *record) holdBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heldBack++
}

// answer records an answer to a request that was due, sent and ended at these times.
func (r *record) answer(to Request, a Answer, due, sent, ended time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[counted{to.Kind, to.Flaw, a.Outcome, a.Status}]++
	switch {
	case a.Outcome == Wrong && to.Flaw == Sound:
		r.violate("%s: %s", to.Kind, a.Detail)
	case a.Outcome == Wrong:
		r.violate("%s with %s: %s", to.Kind, to.Flaw, a.Detail)
	case a.Outcome == NoAnswer:
		r.find("%s: no answer: %s", to.Kind, a.Detail)
	}
	in := r.at(ended)
	if a.Outcome == Done {
		in.done++
	}
	if to.Flaw == Sound && to.Key == "" && (a.Outcome == Done || a.Outcome == NoAnswer) {
		latency := micros(ended - due)
		// It is never out of range.
		_ = r.times[to.Kind].latency.RecordValue(latency)
		_ = r.times[to.Kind].service.RecordValue(micros(ended - sent))
		_ = in.latency.RecordValue(latency)
	}
}

func micros(d time.Duration) int64 { return min(max(d.Microseconds(), 1), longest) }

// compare holds the answers to a command that was given twice against each other. Of two that are done, one did it.
func (r *record) compare(to Request, pair [2]Answer, atOnce bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := &r.duplicates
	d.Given++
	if atOnce {
		d.AtOnce++
	}
	a, b := pair[0], pair[1]
	switch {
	case a.Outcome != Done || b.Outcome != Done:
		d.Undecided++ // if an answer was wrong, it is counted as that
		if b.Outcome == Wrong {
			r.violate("%s given twice: %s", to.Kind, b.Detail)
		}
	case a.Content != b.Content:
		d.Different++
		r.violate("%s given twice with key %s: the answers differ: %.300q, %.300q", to.Kind, to.Key, a.Content, b.Content)
	case a.Replayed == b.Replayed:
		d.Repeated++
		r.violate("%s given twice with key %s: %d answers say that they did it", to.Kind, to.Key, made(a)+made(b))
	default:
		d.Equal++
	}
}

func made(a Answer) int {
	if a.Replayed {
		return 0
	}
	return 1
}

const mostFindings = 5

// violate counts a violation. The caller has the lock.
func (r *record) violate(format string, arguments ...any) {
	r.violations++
	r.find(format, arguments...)
}

// find keeps what was found, unless there is enough of it. The caller has the lock.
func (r *record) find(format string, arguments ...any) {
	if len(r.findings) < mostFindings {
		r.findings = append(r.findings, fmt.Sprintf(format, arguments...))
	}
}

// line is the i-th interval in a line.
func (r *record) line(i int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := time.Duration(i+1) * r.every
	r.at(end) // whose beginning it is
	p, seconds := r.intervals[i], r.every.Seconds()
	return fmt.Sprintf("%s: asked %.1f/s, done %.1f/s, p50 %s, p99 %s, max %s ms; violations %d", end,
		float64(p.asked)/seconds, float64(p.done)/seconds, millis(at(p.latency, 50)), millis(at(p.latency, 99)), millis(at(p.latency, 100)),
		r.violations)
}

// drift compares the p99 of the first quarter of the time with that of the last; nil if there are too few intervals. The
// caller has the lock.
func (r *record) drift(took time.Duration) *Drift {
	whole := r.intervals[:min(len(r.intervals), int(took/r.every))]
	quarter := len(whole) / 4
	if quarter == 0 {
		return nil
	}
	d := &Drift{First: merged(whole[:quarter]), Last: merged(whole[len(whole)-quarter:])}
	if d.First > 0 {
		d.Ratio = d.Last / d.First
	}
	return d
}

// merged is the p99 of several intervals, in seconds.
func merged(parts []interval) float64 {
	all := hdrhistogram.New(1, longest, intervalDigits)
	for _, p := range parts {
		all.Merge(p.latency)
	}
	return at(all, 99)
}

// at is a percentile in seconds.
func at(h *hdrhistogram.Histogram, percentile float64) float64 {
	return float64(h.ValueAtPercentile(percentile)) / 1e6
}

// sorted returns what was counted, sound requests first, in an order that does not change.
func (r *record) sorted() []counted {
	return slices.SortedFunc(maps.Keys(r.counts), func(a, b counted) int {
		return cmp.Or(cmp.Compare(a.flaw, b.flaw), cmp.Compare(slices.Index(kinds, a.kind), slices.Index(kinds, b.kind)),
			cmp.Compare(a.outcome, b.outcome), cmp.Compare(a.status, b.status))
	})
}
