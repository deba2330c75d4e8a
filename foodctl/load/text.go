package load

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Write writes the report for people.
func (r Report) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s on %s", r.Profile, seconds(r.Took), r.To)
	if r.Stopped {
		fmt.Fprintf(&b, ", stopped before its end (%s)", seconds(r.Planned))
	}
	fmt.Fprintf(&b, "\nfoodctl %s, %d CPUs, %s, seed %d\n\n", r.Machine.Version, r.Machine.CPUs, r.Machine.System, r.Mix.Seed)
	fmt.Fprintf(&b, "asked %d requests, %.1f/s; done %d, %.1f/s\n", r.Asked, r.AskedRate, r.Done, r.DoneRate)
	if r.HeldBack > 0 {
		fmt.Fprintf(&b, "%d of them waited because %d were under way (--max-in-flight); that counts in their latency\n", r.HeldBack, r.MaxInFlight)
	}
	r.writeTimes(&b)
	r.writeAnswers(&b)
	if d := r.Duplicates; d.Given > 0 {
		fmt.Fprintf(&b, "\n%d commands given twice under one key (%d at once): %d equal answers of one effect, %d different, %d repeated, %d undecided\n",
			d.Given, d.AtOnce, d.Equal, d.Different, d.Repeated, d.Undecided)
	}
	if d := r.Drift; d != nil {
		fmt.Fprintf(&b, "\np99 of the first quarter %s ms, of the last %s ms: %.2f times as long\n", millis(d.First), millis(d.Last), d.Ratio)
	}
	r.writeVerdict(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// String says what the rate was to be.
func (p Profile) String() string {
	if p.Shape == Ramp || p.Shape == Spike {
		return fmt.Sprintf("%s from %g to %g requests/s", p.Shape, p.Rate, p.Peak)
	}
	return fmt.Sprintf("%s %g requests/s", p.Shape, p.Rate)
}

func (r Report) writeTimes(b *strings.Builder) {
	b.WriteString("\nLatency from when a request was due, service time from when it was sent, to its answer. In ms.\n\n")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\t\trequests\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, t := range r.Kinds {
		for _, row := range []struct {
			name string
			p    Percentiles
		}{{"latency", t.Latency}, {"service", t.Service}} {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", t.Kind, row.name, t.Count, millis(row.p.P50), millis(row.p.P90),
				millis(row.p.P99), millis(row.p.P999), millis(row.p.Max))
		}
	}
	_ = w.Flush() // to memory
}

func (r Report) writeAnswers(b *strings.Builder) {
	b.WriteString("\n")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "request\tanswer\toutcome\tcount")
	for _, c := range r.Answers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", c.Request(), c.Status, c.Outcome, c.Count)
	}
	_ = w.Flush() // to memory
}

// Request is the kind of request, and its flaw.
func (c Count) Request() string {
	if c.Flaw == Sound {
		return string(c.Kind)
	}
	return string(c.Kind) + ", " + string(c.Flaw)
}

func (r Report) writeVerdict(b *strings.Builder) {
	b.WriteString("\n")
	for _, finding := range r.Findings {
		b.WriteString("  " + finding + "\n")
	}
	b.WriteString(r.Verdict() + "\n")
}

// Verdict says in a line whether the answers were as they had to be.
func (r Report) Verdict() string {
	switch {
	case r.Violations > 0:
		return fmt.Sprintf("VIOLATED: %d answers were not as they had to be", r.Violations)
	case r.Violated():
		return "VIOLATED: nothing was done"
	case r.Unserved() > 0:
		return fmt.Sprintf("each answer was as it had to be; %d requests were turned away or got none", r.Unserved())
	default:
		return "each answer was as it had to be"
	}
}

// Unserved is how many requests were turned away or got no answer.
func (r Report) Unserved() (n int64) {
	for _, c := range r.Answers {
		if c.Outcome == Busy || c.Outcome == InUse || c.Outcome == NoAnswer {
			n += c.Count
		}
	}
	return n
}

// millis is a time in seconds in milliseconds.
func millis(s float64) string { return fmt.Sprintf("%.1f", s*1e3) }

// seconds is a time in seconds as people write it.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}
