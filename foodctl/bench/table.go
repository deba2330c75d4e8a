package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table lines numbers up under their heads, and names at the left.
type table struct {
	rows   [][]string
	widths []int
}

func newTable(heads ...string) *table {
	t := &table{widths: make([]int, len(heads))}
	t.row(heads...)
	return t
}

// row adds a line. Its first cell is the name.
func (t *table) row(cells ...string) {
	t.rows = append(t.rows, cells)
	for i, cell := range cells {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
}

func (t *table) lines() (lines []string) {
	for _, cells := range t.rows {
		line := fmt.Appendf(nil, "  %-*s", t.widths[0], cells[0])
		for i, cell := range cells[1:] {
			line = fmt.Appendf(line, "  %*s", t.widths[1+i], cell)
		}
		lines = append(lines, string(line))
	}
	return lines
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

func figure(v *float64) string {
	if v == nil {
		return missing
	}
	return fmt.Sprintf("%.2f", *v)
}

func seconds(v float64) string { return figure(&v) }

// millis is a time in seconds in milliseconds.
func millis(v *float64) string {
	if v == nil {
		return missing
	}
	return fmt.Sprintf("%.1f", *v*1e3)
}

// percent is a part in hundredths.
func percent(v *float64) string {
	if v == nil {
		return missing
	}
	return fmt.Sprintf("%.1f", *v*100)
}

func count(v *int64, unit int64) string {
	if v == nil {
		return missing
	}
	return grouped((*v + unit/2) / unit)
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// lines say what was found, zeros included.
func (c Check) lines(name string) []string {
	lines := []string{fmt.Sprintf("%s: %s events, missing %s, duplicates %s, out of order %s, altered %s", name,
		grouped(c.Events), grouped(c.Missing), grouped(c.Duplicates), grouped(c.OutOfOrder), grouped(c.Altered))}
	for _, finding := range c.Findings {
		lines = append(lines, "  "+finding)
	}
	if !c.Clean() {
		lines = append(lines, "  THE FIGURES ARE VOID")
	}
	return lines
}

// String says where it was measured, in a line.
func (m Machine) String() string {
	version, _, _ := strings.Cut(m.Postgres, " ")
	return fmt.Sprintf("foodctl %s, %d CPUs, %s, Postgres %s, Kafka: %s", m.Version, m.CPUs, m.System, version, m.Kafka)
}
