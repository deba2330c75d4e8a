package load

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"math"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"ms": millis, "seconds": seconds, "rate": func(v float64) string { return fmt.Sprintf("%.1f", v) },
}).Parse(page))

// WriteHTML writes the report as one page that asks nobody for anything.
func (r Report) WriteHTML(w io.Writer) error {
	var curves []chart
	for _, t := range r.Kinds {
		curves = append(curves, t.chart())
	}
	return pageTemplate.Execute(w, struct {
		Report

		Curves           []chart
		Rates, Latencies chart
	}{r, curves, r.rates(), r.latencies()})
}

// chart is a drawing, in the units of its own coordinates.
type chart struct {
	Title  string
	XLabel string
	YLabel string
	X, Y   []tick
	Lines  []line
}

type tick struct {
	At   float64
	Text string
}

type line struct {
	Name   string
	Class  string // of the style: first or second
	Points string // of a polyline
	Key    float64
	KeyEnd float64 // of its piece in the key
}

// The drawing's area inside of its axes.
const (
	left, right, top, bottom = 52.0, 470.0, 10.0, 190.0
)

// scale maps values to coordinates.
type scale struct{ from, to, start, end float64 }

func (s scale) at(v float64) float64 {
	if s.to == s.from {
		return s.start
	}
	return s.start + (v-s.from)/(s.to-s.from)*(s.end-s.start)
}

// chart is the curve of a kind's percentiles: to the right, each nine more takes the same room.
func (t Times) chart() chart {
	c := chart{Title: string(t.Kind), XLabel: "percentile", YLabel: "ms"}
	nines := func(percentile float64) float64 { return -math.Log10(1 - percentile/100) }
	most := 1.0
	for _, p := range t.Curve {
		if p.Percentile < 100 {
			most = max(most, nines(p.Percentile))
		}
	}
	x := scale{0, most, left, right}
	for _, p := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999} {
		if nines(p) <= most {
			c.X = append(c.X, tick{x.at(nines(p)), fmt.Sprint(p)})
		}
	}
	var latency, service []spot
	for _, p := range t.Curve {
		at := x.at(min(most, nines(min(p.Percentile, 99.9999999))))
		latency, service = append(latency, spot{at, p.Latency * 1e3}), append(service, spot{at, p.Service * 1e3})
	}
	c.logarithmic([]named{{"latency", latency}, {"service time", service}})
	return c
}

// rates are how many requests were asked and done, over time.
func (r Report) rates() chart {
	c := chart{Title: "Rate", XLabel: "seconds", YLabel: "requests/s"}
	x := r.time(&c)
	var asked, done []spot
	most := 0.0
	for i, v := range r.Intervals {
		at := x.at((float64(i) + 0.5) * r.IntervalSeconds)
		asked, done = append(asked, spot{at, float64(v.Asked) / r.IntervalSeconds}), append(done, spot{at, float64(v.Done) / r.IntervalSeconds})
		most = max(most, asked[i].value, done[i].value)
	}
	step := round(most / 4)
	y := scale{0, max(step, math.Ceil(most/step)*step), bottom, top}
	for v := 0.0; v <= y.to; v += step {
		c.Y = append(c.Y, tick{y.at(v), fmt.Sprintf("%g", v)})
	}
	c.draw([]named{{"asked", asked}, {"done", done}}, y.at)
	return c
}

// latencies are how the latency went over time.
func (r Report) latencies() chart {
	c := chart{Title: "Latency over time", XLabel: "seconds", YLabel: "ms"}
	x := r.time(&c)
	var p99, p50 []spot
	for i, v := range r.Intervals {
		if v.P99 > 0 { // else nothing ended in it
			at := x.at((float64(i) + 0.5) * r.IntervalSeconds)
			p99, p50 = append(p99, spot{at, v.P99 * 1e3}), append(p50, spot{at, v.P50 * 1e3})
		}
	}
	c.logarithmic([]named{{"p99", p99}, {"p50", p50}})
	return c
}

// time makes the axis of the intervals.
func (r Report) time(c *chart) scale {
	all := max(1, float64(len(r.Intervals))) * r.IntervalSeconds
	x, step := scale{0, all, left, right}, round(all/6)
	for v := 0.0; v <= all; v += step {
		c.X = append(c.X, tick{x.at(v), fmt.Sprintf("%g", v)})
	}
	return x
}

// spot is a value at a place of the x axis.
type spot struct{ x, value float64 }

type named struct {
	name  string
	spots []spot
}

// logarithmic draws lines over an axis of powers of ten.
func (c *chart) logarithmic(lines []named) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		for _, s := range l.spots {
			least, most = min(least, s.value), max(most, s.value)
		}
	}
	if least > most { // nothing
		least, most = 1, 10
	}
	power := func(v float64) float64 { return math.Log10(max(v, 1e-3)) }
	y := scale{math.Floor(power(least)), math.Ceil(power(most) + 1e-9), bottom, top}
	for p := y.from; p <= y.to; p++ {
		c.Y = append(c.Y, tick{y.at(p), fmt.Sprintf("%g", math.Pow(10, p))})
	}
	c.draw(lines, func(v float64) float64 { return y.at(power(v)) })
}

func (c *chart) draw(lines []named, y func(float64) float64) {
	for i, l := range lines {
		points := make([]byte, 0, 16*len(l.spots))
		for _, s := range l.spots {
			points = fmt.Appendf(points, "%.1f,%.1f ", s.x, y(s.value))
		}
		c.Lines = append(c.Lines, line{l.name, []string{"first", "second"}[i], string(points), left + 110*float64(i), left + 24 + 110*float64(i)})
	}
}

// round is the next number of the form 1, 2 or 5 times a power of ten.
func round(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 2, 5} {
		if v <= factor*power {
			return factor * power
		}
	}
	return 10 * power
}
