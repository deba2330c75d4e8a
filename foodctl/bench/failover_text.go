package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Write writes the report for people.
func (r FailoverReport) Write(w io.Writer) error {
	lines := []string{
		r.Machine.String(), "",
		"Seconds from the fault until the first event that was committed after it was delivered.",
		"Active: until the other relay says that it is.", "",
	}
	rows := make([]faultRow, len(r.Faults))
	for i, f := range r.Faults {
		rows[i] = faultRow{f.Fault, f.Rounds, f.Delivered, f.Limit, f.Above, f.Active, f.All}
	}
	lines = append(lines, faultLines("active", rows)...)
	for _, f := range r.Faults {
		lines = append(lines, f.Check.lines("check of "+string(f.Fault))...)
	}
	return write(w, lines)
}

// faultRow is what was measured with one fault.
type faultRow struct {
	fault  Fault
	rounds int
	times  Quantiles // until all is well
	limit  float64
	above  int
	other  Quantiles // until something else, on the way there
	all    []float64
}

// faultLines is a table of faults, and a histogram of each.
func faultLines(other string, rows []faultRow) []string {
	t := newTable("fault", "rounds", "min", "p50", "p90", "max", "above limit", other+" p50", other+" max")
	for _, f := range rows {
		t.row(string(f.fault), strconv.Itoa(f.rounds),
			seconds(f.times.Min), seconds(f.times.P50), figure(f.times.P90), seconds(f.times.Max),
			fmt.Sprintf("%g s: %d", f.limit, f.above), seconds(f.other.P50), seconds(f.other.Max))
	}
	lines := append(t.lines(), "")
	for _, f := range rows {
		lines = append(lines, string(f.fault))
		lines = append(append(lines, histogram(f.all)...), "")
	}
	return lines
}

// mostBars is how long a histogram may become.
const mostBars = 10

// widths of a histogram's bars, in seconds. The first is taken with which there are not too many.
var widths = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// histogram draws how often there was which time.
func histogram(seconds []float64) (lines []string) {
	if len(seconds) == 0 {
		return nil
	}
	var width float64
	var low, high int // of the bars
	for _, width = range widths {
		low, high = int(slices.Min(seconds)/width), int(slices.Max(seconds)/width)
		if high-low < mostBars {
			break
		}
	}
	counts := make([]int, high-low+1)
	for _, s := range seconds {
		counts[int(s/width)-low]++
	}
	for i, n := range counts {
		from := float64(low+i) * width
		lines = append(lines, fmt.Sprintf("  %6.2f - %6.2f s %4d %s", from, from+width, n, strings.Repeat("#", n)))
	}
	return lines
}
