package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table lines numbers up under their heads.
type table struct {
	strings.Builder

	w *tabwriter.Writer
}

func newTable(heads ...string) *table {
	t := &table{}
	t.w = tabwriter.NewWriter(&t.Builder, 0, 0, 2, ' ', tabwriter.AlignRight)
	t.row(heads...)
	return t
}

// row adds a line. The first cell is a name and stands at the left, which takes a padding by itself.
func (t *table) row(cells ...string) {
	fmt.Fprintln(t.w, strings.Join(cells, "\t")+"\t")
}

func (t *table) lines() []string {
	_ = t.w.Flush() // to memory
	return strings.Split(strings.TrimRight(t.String(), "\n"), "\n")
}

// write writes lines, and nothing behind a line's last word.
func write(w io.Writer, lines []string) error {
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// missing stands for what could not be measured.
const missing = "-"

func figure(v *float64, format string) string {
	if v == nil {
		return missing
	}
	return fmt.Sprintf(format, *v)
}

func count(v *int64, unit int64) string {
	if v == nil {
		return missing
	}
	return grouped((*v + unit/2) / unit)
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// String says what was found, zeros included, in lines.
func (c Check) String() string {
	verdict := ""
	if !c.Clean() {
		verdict = "  THE FIGURES ARE VOID"
	}
	lines := []string{fmt.Sprintf("check: %s events, missing %s, duplicates %s, out of order %s, altered %s%s", grouped(c.Events),
		grouped(c.Missing), grouped(c.Duplicates), grouped(c.OutOfOrder), grouped(c.Altered), verdict)}
	for _, finding := range c.Findings {
		lines = append(lines, "  "+finding)
	}
	return strings.Join(lines, "\n")
}

// String says where it was measured, in a line.
func (m Machine) String() string {
	version, _, _ := strings.Cut(m.Postgres, " ")
	return fmt.Sprintf("foodctl %s, %d CPUs, %s, Postgres %s, Kafka: %s", m.Version, m.CPUs, m.System, version, m.Kafka)
}
