package load

import (
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// Report is what a load came to. Times are in seconds.
type Report struct {
	To      string  `json:"to"`
	Machine Machine `json:"machine"`
	Profile Profile `json:"profile"`
	Mix     Mix     `json:"mix"`

	Planned float64 `json:"seconds_planned"`
	Took    float64 `json:"seconds"`
	Stopped bool    `json:"stopped"` // before the profile's end

	Asked       int64   `json:"asked"` // requests that were due; what was given twice counts once
	Done        int64   `json:"done"`
	AskedRate   float64 `json:"asked_per_second"`
	DoneRate    float64 `json:"done_per_second"`
	MaxInFlight int     `json:"max_in_flight"`
	HeldBack    int64   `json:"held_back"` // requests that waited because so many were under way; their latency counts it

	Kinds      []Times    `json:"kinds"`
	Answers    []Count    `json:"answers"`
	Duplicates Duplicates `json:"duplicates"`
	Drift      *Drift     `json:"drift,omitempty"` // of Soak

	Violations int64    `json:"violations"`
	Findings   []string `json:"findings,omitempty"` // the first

	IntervalSeconds float64    `json:"interval_seconds"`
	Intervals       []Interval `json:"intervals"`
}

// Machine is what the load was made on.
type Machine struct {
	CPUs    int    `json:"cpus"`
	System  string `json:"system"`
	Version string `json:"version"`
}

// Times are those of the sound requests of a kind, of those that were done or got no answer. Commands that were given
// twice are left out.
type Times struct {
	Kind    Kind        `json:"kind"`
	Count   int64       `json:"count"`
	Latency Percentiles `json:"latency"` // from when the request was due
	Service Percentiles `json:"service"` // from when it was sent
	Curve   []Point     `json:"curve"`
}

// Percentiles of times in seconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Point is one of a curve of percentiles.
type Point struct {
	Percentile float64 `json:"percentile"`
	Latency    float64 `json:"latency"`
	Service    float64 `json:"service"`
}

// Count is how many requests got an answer.
type Count struct {
	Kind    Kind    `json:"kind"`
	Flaw    Flaw    `json:"flaw,omitempty"`
	Outcome Outcome `json:"outcome"`
	Status  string  `json:"status"`
	Count   int64   `json:"count"`
}

// Duplicates are the commands that were given twice.
type Duplicates struct {
	Given     int64 `json:"given"`
	AtOnce    int64 `json:"at_once"` // the others one after the other
	Equal     int64 `json:"equal"`   // as it must be: the same answer twice, and one of them did it
	Different int64 `json:"different"`
	Repeated  int64 `json:"repeated"`  // both did it, or neither
	Undecided int64 `json:"undecided"` // an answer is missing, or turned away
}

// Drift is how the p99 of the latency went from the first quarter of the time to the last.
type Drift struct {
	First float64 `json:"first_quarter_p99"`
	Last  float64 `json:"last_quarter_p99"`
	Ratio float64 `json:"ratio"`
}

// Interval is a part of the time.
type Interval struct {
	Asked int64   `json:"asked"` // due in it
	Done  int64   `json:"done"`  // in it
	P50   float64 `json:"p50"`   // of the latencies that ended in it
	P99   float64 `json:"p99"`
}

// Violated says whether an answer was not as it had to be, or nothing was done at all.
func (r Report) Violated() bool { return r.Violations > 0 || r.Asked > 0 && r.Done == 0 }

func (r *record) report(c Config, to string, took time.Duration, stopped bool) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Report{
		To: to, Profile: c.Profile, Mix: c.Mix, Planned: c.Duration.Seconds(), Took: took.Seconds(), Stopped: stopped,
		Machine: Machine{runtime.NumCPU(), runtime.GOOS + "/" + runtime.GOARCH, ops.Version()},
		Asked:   r.arrived, MaxInFlight: c.MaxInFlight, HeldBack: r.heldBack, Duplicates: r.duplicates,
		Violations: r.violations, Findings: r.findings, IntervalSeconds: r.every.Seconds(),
	}
	for _, c := range r.sorted() {
		p.Answers = append(p.Answers, Count{c.kind, c.flaw, c.outcome, c.status, r.counts[c]})
		if c.outcome == Done {
			p.Done += r.counts[c]
		}
	}
	for _, kind := range kinds {
		if t := r.times[kind]; t.latency.TotalCount() > 0 {
			p.Kinds = append(p.Kinds, Times{kind, t.latency.TotalCount(), percentiles(t.latency), percentiles(t.service), t.curve()})
		}
	}
	r.at(max(0, took-1)) // in the last, perhaps, nothing happened
	for _, i := range r.intervals {
		p.Intervals = append(p.Intervals, Interval{i.asked, i.done, at(i.latency, 50), at(i.latency, 99)})
	}
	if took > 0 {
		// What is done late is done at a lower rate; what is asked late was due all the same.
		p.AskedRate, p.DoneRate = float64(p.Asked)/min(took, c.Duration).Seconds(), float64(p.Done)/took.Seconds()
	}
	if c.Shape == Soak {
		p.Drift = r.drift(took)
	}
	return p
}

func percentiles(h *hdrhistogram.Histogram) Percentiles {
	return Percentiles{at(h, 50), at(h, 90), at(h, 99), at(h, 99.9), at(h, 100)}
}

// curve goes on until what is above a percentile is less than a request.
func (t *times) curve() (points []Point) {
	for above := 100.0; above*float64(t.latency.TotalCount()) >= 100; above /= 1.5 {
		percentile := 100 - above
		points = append(points, Point{percentile, at(t.latency, percentile), at(t.service, percentile)})
	}
	return append(points, Point{100, at(t.latency, 100), at(t.service, 100)})
}
