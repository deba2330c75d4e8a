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
	t := newTable("fault", "rounds", "min", "p50", "p90", "max", "above limit", "active p50", "active max")
	for _, f := range r.Faults {
		t.row(string(f.Fault), strconv.Itoa(f.Rounds),
			seconds(f.Delivered.Min), seconds(f.Delivered.P50), figure(f.Delivered.P90), seconds(f.Delivered.Max),
			fmt.Sprintf("%g s: %d", f.Limit, f.Above), seconds(f.Active.P50), seconds(f.Active.Max))
	}
	lines = append(append(lines, t.lines()...), "")
	for _, f := range r.Faults {
		lines = append(lines, string(f.Fault))
		lines = append(append(lines, histogram(f.All)...), "")
	}
	for _, f := range r.Faults {
		lines = append(lines, f.Check.lines("check of "+string(f.Fault))...)
	}
	return write(w, lines)
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
