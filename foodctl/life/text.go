package life

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
)

// Write prints the life for people: the order, its events, and what is missing.
func (l *Life) Write(w io.Writer) error {
	fmt.Fprintln(w, l.title())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tEVENT\tDECIDED\tCOMMITTED\tLSN[PLACE]\tRECORD\tREAD MODEL")
	for i := range l.Events {
		e := &l.Events[i]
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Version, e.Type, clock(e.At), e.commit(), e.position(), e.record(), l.state(e))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range l.summary() {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func (l *Life) title() string {
	if l.Fulfilment == erased {
		return fmt.Sprintf("customer %d, key %s: erased, topic %s", l.Customer, l.Order, l.Topic)
	}
	if l.Version == 0 {
		return fmt.Sprintf("order %s: the orders table does not have it, and yet there are events of it", l.Order)
	}
	return fmt.Sprintf("order %s of customer %d: %s, payment %s, topic %s", l.Order, l.Customer, l.Fulfilment, l.Payment, l.Topic)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") }

// commit is how long after the decision the transaction committed.
func (e *Event) commit() string {
	if e.Committed.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%+dms", e.Committed.Sub(e.At.Truncate(time.Millisecond)).Milliseconds()) // a record's time has no more
}

// position is where the event stands in Postgres's log. One that was published out of the table has none.
func (e *Event) position() string {
	if e.Commit == 0 {
		return "-"
	}
	return fmt.Sprintf("%s[%d]", e.Commit, e.Index)
}

func (e *Event) record() string {
	switch {
	case e.Found:
		return Place(e.Partition, e.Offset)
	case e.Offset != nowhere:
		return Place(e.Partition, e.Offset) + "?" // somebody read it there
	}
	return "-"
}

// Place writes where a record is: its partition, and the offset in it.
func Place(partition int32, offset int64) string {
	return strconv.Itoa(int(partition)) + "@" + strconv.FormatInt(offset, 10)
}

func (l *Life) state(e *Event) string {
	switch {
	case e.Other != uuid.Nil:
		return "another event"
	case e.Applied && e.Seq == 0:
		return "applied, and not in the outbox"
	case e.Applied:
		return "applied"
	case l.Blocked != "":
		return "parked"
	}
	return "-"
}

// summary says how far the order is, and for what is missing whom to ask.
func (l *Life) summary() (lines []string) {
	if l.Complete() {
		lines = append(lines, count(len(l.Events))+": all in the read model.")
	} else {
		lines = l.missing()
	}
	for _, t := range l.Trouble {
		lines = append(lines, "Not known: "+t)
	}
	return lines
}

// missing says where the events are that the read model does not have.
func (l *Life) missing() (lines []string) {
	var applied, found, unwritten int
	var others []string
	for _, e := range l.Events {
		switch {
		case e.Other != uuid.Nil:
			others = append(others, fmt.Sprintf("Version %d is event %s in the outbox, and event %s in the read model: that must not be.", e.Version, e.ID, e.Other))
		case e.Seq == 0:
			unwritten++
		case e.Applied:
			applied++
		case e.Found:
			found++
		}
	}
	written := len(l.Events) - unwritten
	lines = append(lines, fmt.Sprintf("%s written, %d of them in the read model.", count(written), applied))
	if l.Blocked != "" {
		lines = append(lines, fmt.Sprintf("Blocked (%s): an event could not be applied, and what is behind it waits. projector letters list says more.", l.Blocked))
	}
	if found > 0 && l.Blocked == "" {
		lines = append(lines, count(found)+" in the topic, not yet applied: does the projector run? foodctl watch shows what moves.")
	}
	if missing := written - applied - found - len(others); missing > 0 && len(l.Trouble) == 0 && l.Blocked == "" {
		lines = append(lines, count(missing)+" not yet in the topic: does the relay run? relay status says who publishes.")
	}
	if unwritten > 0 {
		lines = append(lines, count(unwritten)+" not in the outbox: the orders database is older than the read model. See relay recover --help.")
	}
	return append(lines, others...)
}

// count is a number of events.
func count(n int) string {
	if n == 1 {
		return "1 event"
	}
	return strconv.Itoa(n) + " events"
}
