package audit

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Write writes the report for people.
func (r Report) Write(w io.Writer) error {
	p := &printer{}
	if !r.Source.CutAt.IsZero() { // or nothing was counted, and zeros would say otherwise
		p.findings(r)
	}
	for _, reason := range r.Undecided {
		p.line("undecided: %s", reason)
	}
	for _, note := range r.Notes {
		p.line("note: %s", note)
	}
	p.line("%s", r.conclusion())
	_, err := io.WriteString(w, p.String())
	return err
}

// findings are what was counted, and what was found wrong.
func (p *printer) findings(r Report) {
	p.line("audit of %s at %s, log position %s", r.Topic.Name, r.Source.CutAt.Format(time.DateTime+"Z"), r.Source.CutLSN)
	p.line("")
	p.row("source", grouped(r.Source.Events)+" events", plural(r.Source.Orders, "order"))
	p.row("topic", grouped(r.Topic.Records)+" records", r.Topic.describe())
	if r.ReadModel.Checked {
		p.row("read model", grouped(r.ReadModel.Applied)+" events", waiting(r.ReadModel.Pending))
	}
	p.line("")
	p.counts(r)
	p.tables(r)
	p.offenders(r)
}

func (r Report) conclusion() string {
	took := r.Took.Round(10 * time.Millisecond)
	switch r.Verdict {
	case Holds:
		return fmt.Sprintf("HOLDS: every event exactly once, in order, from the outbox to where it was checked (%s)", took)
	case Undecided:
		return fmt.Sprintf("UNDECIDED: nothing wrong was found, but not everything could be judged (%s)", took)
	default:
		return fmt.Sprintf("VIOLATED: %s (%s)", plural(r.Findings, "finding"), took)
	}
}

// describe says how the topic's records are spread.
func (t Topic) describe() string {
	parts := make([]string, 0, len(t.Partitions))
	for _, p := range t.Partitions {
		parts = append(parts, fmt.Sprintf("p%d %s", p.Partition, grouped(p.Records)))
	}
	text := fmt.Sprintf("%s unique: %s", grouped(t.Unique), strings.Join(parts, ", "))
	if t.BeyondCut > 0 {
		text += fmt.Sprintf("; %s of them committed since the cut", grouped(t.BeyondCut))
	}
	return text
}

func waiting(pending int64) string {
	if pending == 0 {
		return "applied"
	}
	return fmt.Sprintf("applied, %s to come", grouped(pending))
}

type printer struct{ strings.Builder }

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// row is a name, a number that lines up with those above and below, and what there is to say of it.
func (p *printer) row(name, number, remark string) {
	p.line("%s", strings.TrimRight(fmt.Sprintf("  %-20s %13s   %s", name, number, remark), " "))
}

func (p *printer) counts(r Report) {
	p.row("duplicates", grouped(r.Counts.Duplicates), "")
	p.row("missing", grouped(r.Counts.Missing), "")
	p.row("extra", grouped(r.Counts.Extra), "")
	p.row("out of order", grouped(r.Counts.OutOfOrder), "")
	p.row("mismatched", grouped(r.Counts.Mismatched), "")
	p.row("torn transactions", grouped(r.Counts.Torn), "")
	if r.Counts.Pending > 0 {
		p.row("not arrived yet", grouped(r.Counts.Pending), "")
	}
	if c := r.Checkpoint; c.Checked {
		p.row("wrong checkpoint", grouped(c.Wrong), fmt.Sprintf("%s at %s, Postgres was told %s", cmp.Or(c.Phase, "unreadable"), c.Position, c.Confirmed))
	}
	p.line("")
}

func (p *printer) tables(r Report) {
	tables := []Table{r.Orders}
	if r.Customers.Rows+r.Customers.Wrong > 0 {
		tables = append(tables, r.Customers)
	}
	tables = append(tables, r.ReadModel.Tables...)
	p.row("wrong rows", "", "")
	for _, t := range tables {
		p.row("  "+t.Name, grouped(t.Wrong), "of "+grouped(t.Rows))
	}
	p.line("")
}

func (p *printer) offenders(r Report) {
	if len(r.Offenders) == 0 {
		return
	}
	if left := r.Findings - int64(len(r.Offenders)); left > 0 {
		p.line("%s, %s of them here:", plural(r.Findings, "finding"), grouped(int64(len(r.Offenders))))
	}
	for _, o := range r.Offenders {
		p.line("  %s", o)
	}
	p.line("")
}

// String says the finding in one line.
func (o Offender) String() string {
	words := []string{strings.ReplaceAll(string(o.Kind), "_", " ")}
	if o.Kind == WrongReadModel {
		words[0] = o.Table
	}
	if o.Partition != nil {
		words = append(words, fmt.Sprintf("partition %d", *o.Partition))
	}
	if o.Offset != nil {
		words = append(words, fmt.Sprintf("offset %d", *o.Offset))
	}
	if o.Event != uuid.Nil {
		words = append(words, "event "+o.Event.String())
	}
	if o.Order != uuid.Nil {
		words = append(words, "order "+o.Order.String())
	}
	if o.Version != 0 {
		words = append(words, "version "+strconv.FormatInt(o.Version, 10))
	}
	return strings.Join(words, " ") + ": " + o.Detail
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}
