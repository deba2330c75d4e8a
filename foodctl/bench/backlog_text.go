package bench

import (
	"fmt"
	"io"
)

// Write writes the report for people.
func (r BacklogReport) Write(w io.Writer) error {
	lines := []string{
		r.Machine.String(),
		"reader, producer: bare, and nothing but that. MB/s: of payload. s/M: CPU seconds per million events.",
	}
	if r.WarmUp.Void {
		lines = append(lines, r.WarmUp.Check.lines("warm-up")...)
	}
	for _, f := range r.Fillings {
		lines = append(append(lines, ""), f.lines()...)
	}
	return write(w, lines)
}

func (f Filling) lines() []string {
	lines := []string{
		fmt.Sprintf("%s events, %s a transaction, %d bytes of payload each; filled in %.1f s, %s MB of log", grouped(f.Rows),
			grouped(int64(f.RowsPerTransaction)), f.PayloadBytes/f.Rows, f.FillSeconds, grouped(f.WALBytes/1e6)),
		"",
	}
	t := newTable("", "events/s", "MB/s", "own s/M", "sender s/M", "broker s/M", "peak RSS MB", "reads", "Kafka tx")
	measurements := append(append([]Measurement{}, f.Readers...), f.Producers...)
	for _, m := range append(measurements, f.Both, f.Relay) {
		t.row(m.Name, grouped(int64(m.EventsPerSecond)), fmt.Sprintf("%.1f", m.PayloadMBPerSec),
			figure(m.CPU.Own), figure(m.CPU.Walsender), figure(m.CPU.Broker),
			count(m.PeakRSS, 1e6), count(m.Reads, 1), count(m.KafkaTransactions, 1))
	}
	lines = append(lines, t.lines()...)
	lines = append(lines, "",
		fmt.Sprintf("relay by limit: eager reader %.2f, best reader %.2f, best producer %.2f, both %.2f",
			f.Ratios.EagerReader, f.Ratios.BestReader, f.Ratios.BestProducer, f.Ratios.Both))
	return append(lines, f.Check.lines("check")...)
}
