package console

import (
	"fmt"
	"strconv"
	"time"
)

// number is a line of the table that browsers without scripts show.
type number struct {
	ID    string // data-testid; the page with scripts has the same
	Label string
	Value string
}

// plain is what a snapshot says in numbers.
func plain(s Snapshot) []number {
	numbers := []number{
		{"count-api", "Orders placed", thousands(s.Pipe.API.Count)},
		{"count-outbox", "Events written", thousands(s.Pipe.Outbox.Count)},
		{"rate-written", "Written a second", decimal(s.Pipe.Outbox.Rate)},
		{"count-relay", "Events published", thousands(s.Pipe.Relay.Count)},
		{"rate-published", "Published a second", decimal(s.Pipe.Relay.Rate)},
		{"count-read_model", "Events applied", thousands(s.Pipe.ReadModel.Count)},
		{"rate-applied", "Applied a second", decimal(s.Pipe.ReadModel.Rate)},
		{"pending", "Pending: written, not applied", thousands(s.Pending.Events)},
		{"unpublished", "Of them not in the topic", thousands(s.Pending.Unpublished)},
		{"pending-seconds", "Age of the oldest of those", decimal(s.Pending.Seconds) + " s"},
		{"wal-held", "Log held for the relay", thousands(s.Slot.Held) + " bytes"},
		{"slot-left", "Until its slot is lost", untilLost(s.Slot)},
		{"latency-p50", "End to end, p50", decimal(s.Latency.P50) + " ms"},
		{"latency-p99", "End to end, p99", decimal(s.Latency.P99) + " ms"},
		{"aborted", "Aborted Kafka transactions", thousands(s.Kafka.Aborted)},
		{"reread", "Source transactions dropped as already published", thousands(s.Kafka.Reread)},
	}
	for _, count := range s.Audit.counts() {
		numbers = append(numbers, number{count.ID, "Audit: " + count.Label, thousands(count.N)})
	}
	numbers = append(numbers,
		number{"audit-events", "Audit: events over which duplicates and missing are counted", thousands(s.Audit.Events)},
		number{"audit-compared", "Audit: events compared for the rest, since " + s.Audit.Since.UTC().Format("15:04") + " UTC", thousands(s.Audit.Compared)},
		number{"audit-left", "Audit: comparisons left to foodctl verify", thousands(s.Audit.Left)})
	for _, relay := range s.Relays {
		numbers = append(numbers, number{"relay-role-" + relay.Name, "Role of " + relay.Name, role(relay)})
	}
	for _, m := range s.Members {
		id := strconv.Itoa(int(m.Partition))
		numbers = append(numbers, number{"owner-p" + id, "Owner of partition " + id, m.Owner})
	}
	return numbers
}

// zero is a count of the audit that must be 0.
type zero struct {
	ID, Label string
	N         int64
}

// counts are the counts that must be 0.
func (a Audit) counts() []zero {
	return []zero{
		{"duplicates", "duplicates", a.Duplicates},
		{"missing", "missing", a.Missing},
		{"holes", "holes", a.Holes},
		{"foreign", "foreign", a.Foreign},
		{"mismatched", "mismatched", a.Mismatched},
		{"not-applied", "not applied", a.Unapplied},
	}
}

func role(r Relay) string {
	if r.Role == "" {
		return "does not answer"
	}
	return r.Role
}

func untilLost(s Slot) string {
	switch {
	case !s.Exists:
		return "there is no slot"
	case s.Lost:
		return "it is lost: run relay recover"
	case s.LostSeconds != nil:
		return time.Duration(*s.LostSeconds * float64(time.Second)).Round(time.Second).String()
	case s.Safe != nil:
		return thousands(*s.Safe) + " bytes"
	}
	return "without limit"
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
