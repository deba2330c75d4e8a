package bench

import (
	"fmt"
	"io"
	"strconv"
)

// Write writes the report for people.
func (r ProjectorReport) Write(w io.Writer) error {
	lines := []string{r.Machine.String()}
	if r.Replay != nil {
		lines = append(append(lines, ""), r.Replay.lines()...)
	}
	if r.Latency != nil {
		lines = append(append(lines, ""), r.Latency.lines()...)
	}
	if r.Takeover != nil {
		lines = append(append(lines, ""), r.Takeover.lines()...)
	}
	if r.Growth != nil {
		lines = append(append(lines, ""), r.Growth.lines()...)
	}
	return write(w, lines)
}

func (r *ReplayReport) lines() []string {
	lines := []string{
		fmt.Sprintf("replay: %s events, %s orders open at a time; published in %.1f s", grouped(r.Events), grouped(int64(r.Open)), r.FillSeconds),
		"Above: bare clients, for the same rows. s/M: CPU seconds per million events.", "",
	}
	t := newTable("", "events/s", "own s/M", "Postgres s/M", "broker s/M", "peak RSS MB", "transactions")
	row := func(name string, p Pass) {
		t.row(name, grouped(int64(p.EventsPerSecond)), figure(p.CPU.Own), figure(p.CPU.Postgres), figure(p.CPU.Broker),
			count(p.PeakRSS, 1e6), grouped(p.Transactions))
	}
	limits := []Limit{r.Copy, r.Unnest, r.Both, r.Whole}
	for _, l := range limits {
		row(l.Name, l.Pass)
	}
	for _, p := range r.Replays {
		row("projector, "+members(p.Members), p.Pass)
	}
	lines = append(append(lines, t.lines()...), "")
	for _, p := range r.Replays {
		lines = append(lines, fmt.Sprintf("%s by limit: COPY %.2f, unnest %.2f, unnest and consumer %.2f, fence, read, unnest %.2f",
			members(p.Members), p.Ratios.Copy, p.Ratios.Unnest, p.Ratios.Both, p.Ratios.Whole))
	}
	lines = append(lines, fmt.Sprintf("the fence costs %.1f %% of the time without it", r.FenceCost))
	for _, l := range limits {
		if len(l.Different) > 0 {
			lines = append(lines, fmt.Sprintf("%s: other rows than the projector's in %v", l.Name, l.Different), "  THE FIGURES ARE VOID")
		}
	}
	if r.WarmUp.Void {
		lines = append(lines, r.WarmUp.Check.lines("warm-up")...)
	}
	for _, p := range r.Replays {
		lines = append(lines, p.Check.lines("check of "+members(p.Members))...)
	}
	return lines
}

func members(n int) string {
	if n == 1 {
		return "1 member"
	}
	return strconv.Itoa(n) + " members"
}

func (r *DelayReport) lines() []string {
	lines := []string{
		"latency: from the acknowledgement of the record's commit until a reader sees it in the read model.",
		"Commit: from the event's time in the schedule to the acknowledgement. In ms. Own: the projector's.", "",
	}
	t := newTable("wanted", "events/s", "events", "p50", "p99", "p99.9", "max", "commit p50", "commit p99", "own CPU %")
	for _, d := range r.Rates {
		t.row(fmt.Sprintf("%g events/s", d.Rate), fmt.Sprintf("%.1f", d.Achieved), grouped(int64(d.Events)),
			millis(&d.Visible.P50), millis(d.Visible.P99), millis(d.Visible.P999), millis(&d.Visible.Max),
			millis(&d.Commit.P50), millis(d.Commit.P99), percent(d.CPU))
	}
	return append(append(append(lines, t.lines()...), ""), r.Check.lines("check")...)
}

func (r *HandoverReport) lines() []string {
	lines := []string{
		"takeover: seconds from the fault until each partition of the projector that was struck is applied again;",
		fmt.Sprintf("the session timeout is %g s. Claimed: until the other owns them.", r.Session), "",
	}
	rows := make([]faultRow, len(r.Faults))
	for i, f := range r.Faults {
		rows[i] = faultRow{f.Fault, f.Rounds, f.Applied, f.Limit, f.Above, f.Claimed, f.All}
	}
	lines = append(lines, faultLines("claimed", rows)...)
	return append(lines, r.Check.lines("check")...)
}

func (r *GrowthReport) lines() []string {
	lines := []string{
		"growth: the same events into read models that hold orders already: all at once, and then 1,000 a second.",
		"HOT: of the updates of order_summary, those that touched no index.", "",
	}
	t := newTable("orders before", "GB", "events/s", "own s/M", "Postgres s/M", "peak RSS MB", "HOT %", "p50 ms", "p99", "p99.9")
	for _, g := range r.Sizes {
		t.row(grouped(g.Orders), fmt.Sprintf("%.2f", float64(g.Bytes)/1e9), grouped(int64(g.Replay.EventsPerSecond)), figure(g.Replay.CPU.Own),
			figure(g.Replay.CPU.Postgres), count(g.Replay.PeakRSS, 1e6), fmt.Sprintf("%.1f", 100*g.HOT),
			millis(&g.Latency.Visible.P50), millis(g.Latency.Visible.P99), millis(g.Latency.Visible.P999))
	}
	lines = append(append(lines, t.lines()...), "")
	for _, g := range r.Sizes {
		lines = append(lines, g.Check.lines("check of "+grouped(g.Orders)+" orders")...)
	}
	return lines
}
