package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
)

const (
	changedFor  = 10 * time.Second // that another relay publishes, or one has come back, is said
	drainingAge = 2                // seconds: what is younger, or no more than what comes in so long, is no backlog
)

// judge gives the snapshot its verdict. Waiting is how many orders wait for a relay; -1: it was not counted.
func (l *looker) judge(s *Snapshot, ready bool, waiting int64) {
	v := l.verdictOf(s, ready, waiting)
	v.Since = l.verdict.Since
	if v.State != l.verdict.State {
		v.Since = s.At
	}
	l.verdict, s.Verdict = v, v
}

func (l *looker) verdictOf(s *Snapshot, ready bool, waiting int64) Verdict {
	switch {
	case faults(s.Audit) > 0:
		return Verdict{State: Mismatch, Text: faultsText(s.Audit)}
	case len(s.Trouble) > 0:
		return Verdict{State: Blind, Text: s.Trouble[0]}
	case l.relays.active == "" && s.Pending.Unpublished > 0:
		return Verdict{State: RelayDown, Text: waitingText(waiting, s.Pending.Unpublished) + " safe in the outbox"}
	case l.relays.active == "":
		return Verdict{State: RelayDown, Text: "new orders are safe in the outbox"}
	case !ready:
		return Verdict{State: Starting, Text: "the topic is read from its beginning"}
	case s.At.Sub(l.changed) < changedFor:
		return Verdict{State: l.changedTo, Text: l.changedText}
	case draining(s):
		return Verdict{State: Draining, Text: counted(s.Pending.Events, "event") + " on the way"}
	}
	return Verdict{State: InSync, Text: "every order is in the topic and in the read model"}
}

// draining says whether more is on its way than what has just been written.
func draining(s *Snapshot) bool {
	return s.Pending.Seconds >= drainingAge || float64(s.Pending.Events) > max(20, drainingAge*s.Pipe.Outbox.Rate)
}

func waitingText(orders, events int64) string {
	if orders < 0 {
		return counted(events, "event") + " " + are(events)
	}
	return counted(orders, "order") + " " + are(orders)
}

func are(n int64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// auditOf is what the page has of an audit.
func auditOf(r *audit.Running) Audit {
	a := Audit{
		Since: r.Began, Events: r.Events, Compared: r.Compared, Left: r.Left,
		Duplicates: r.Duplicates, Missing: r.Missing, Holes: r.OutOfOrder, Foreign: r.Extra, Mismatched: r.Mismatched, Unapplied: r.Unapplied,
		Findings: []Finding{},
	}
	for _, o := range r.Findings {
		a.Findings = append(a.Findings, Finding{
			Kind: kindNames[o.Kind], Partition: o.Partition, Offset: o.Offset, Order: o.Order, Detail: o.Detail,
		})
	}
	return a
}

// kindNames are the names of Audit's counts.
var kindNames = map[audit.Kind]string{
	audit.Duplicate: "duplicates", audit.Missing: "missing", audit.OutOfOrder: "holes", audit.Extra: "foreign",
	audit.Mismatched: "mismatched", audit.WrongReadModel: "not_applied",
}

// faults is how many there are.
func faults(a Audit) int64 {
	return a.Duplicates + a.Missing + a.Holes + a.Foreign + a.Mismatched + a.Unapplied
}

func faultsText(a Audit) string {
	var parts []string
	for _, f := range []struct {
		n    int64
		text string
	}{
		{a.Duplicates, "duplicate"},
		{a.Missing, "missing"},
		{a.Holes, "holes"},
		{a.Foreign, "foreign"},
		{a.Mismatched, "mismatched"},
		{a.Unapplied, "not applied"},
	} {
		if f.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", f.n, f.text))
		}
	}
	return strings.Join(parts, ", ")
}
