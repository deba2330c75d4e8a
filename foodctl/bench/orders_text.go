package bench

import (
	"fmt"
	"io"
	"strconv"
)

// Write writes the report for people.
func (r OrdersReport) Write(w io.Writer) error {
	lines := []string{
		r.Machine.String(), "pgbench " + r.Pgbench, "",
		fmt.Sprintf("Orders placed, one event of some %d bytes each, by writers that wait for each answer. p50 and p99 in ms,", r.PayloadBytes),
		"CPU in seconds per million orders.", "",
	}
	t := newTable("writers", "", "orders/s", "p50", "p99", "client s/M", "service s/M", "Postgres s/M", "by pgbench", "target")
	for _, l := range r.Levels {
		t.row(append(l.Pgbench.cells(strconv.Itoa(l.Writers), "pgbench"), "", "")...)
		t.row(append(l.Log.cells("", "event log"), seconds(l.LogRatio), met(l.LogMet, LogTarget))...)
		t.row(append(l.HTTP.cells("", "HTTP"), seconds(l.HTTPRatio), met(l.HTTPMet, HTTPTarget))...)
	}
	lines = append(append(lines, t.lines()...), "",
		fmt.Sprintf("half of the load reached, open loop: %.0f orders/s through HTTP, p99 %s ms from when an order was due: %s",
			r.Half.Rate, millis(&r.Half.P99), met(r.Half.Met, P99Target)))
	lines = append(lines, r.Check.lines()...)
	for _, finding := range r.Half.Load.Findings {
		lines = append(lines, "  "+finding)
	}
	if r.Void {
		lines = append(lines, "  THE FIGURES ARE VOID")
	}
	return write(w, lines)
}

func (p Placed) cells(writers, name string) []string {
	return []string{
		writers, name, grouped(int64(p.PerSecond + 0.5)), millis(&p.Seconds.P50), millis(p.Seconds.P99),
		perMillion(p.CPU.Client), perMillion(p.CPU.Service), perMillion(p.CPU.Postgres),
	}
}

// met says whether a target is met.
func met(is bool, target any) string {
	if is {
		return fmt.Sprintf("%v met", target)
	}
	return fmt.Sprintf("%v missed", target)
}

// lines say what was found, zeros included.
func (c OrdersCheck) lines() []string {
	return []string{fmt.Sprintf("check: %s orders answered, %s of pgbench, missing %s, extra %s, twice %s, holes %s, torn %s",
		grouped(c.Answered), grouped(c.Foreign), grouped(c.Missing), grouped(c.Extra), grouped(c.Twice), grouped(c.Holes), grouped(c.Torn))}
}

func perMillion(v *float64) string {
	if v == nil {
		return missing
	}
	return fmt.Sprintf("%.0f", *v)
}
