package app

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

var rewrite = flag.Bool("rewrite", false, "write the outputs of this run into docs/tour.md")

const tourFile = "../../docs/tour.md"

// TestTheTour runs every command of docs/tour.md, in one shell and in their order, beside a system that it starts, and compares
// what they print with what the page says, but for numbers, ids and times.
func TestTheTour(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the tour's commands need curl")
	}
	page, err := os.ReadFile(tourFile)
	if err != nil {
		t.Fatal(err)
	}
	blocks := tour(string(page))
	dir, flags, ports := place(t)
	up := foodctl(t, append(flags, "--rate=0.001")...)
	up.quiet()

	moved := strings.NewReplacer("127.0.0.1:7481", fmt.Sprintf("127.0.0.1:%d", ports.OrderService),
		"127.0.0.1:7488", fmt.Sprintf("127.0.0.1:%d", ports.Query))
	outputs := inShell(t, moved, blocks, []string{
		"PATH=" + filepath.Dir(testenv.Build(t, "foodctl")) + ":" + os.Getenv("PATH"), "FOODCTL_DIR=" + dir,
		fmt.Sprintf("FOODCTL_POSTGRES_PORT=%d", ports.Postgres), fmt.Sprintf("KAFKA_BROKERS=127.0.0.1:%d", ports.Broker),
	})
	for i, b := range blocks {
		if diff := cmp.Diff(shape(b.output), shape(outputs[i])); diff != "" && !*rewrite {
			t.Errorf("$ %s\nprinted\n%s\nwhich is not of the shape in %s (if it is right, run the test with -rewrite), -page +run:\n%s",
				b.command, outputs[i], tourFile, diff)
		}
		oneTransaction(t, outputs[i])
	}
	sameEnd(t, blocks, outputs)
	if *rewrite && !t.Failed() {
		if err := os.WriteFile(tourFile, []byte(rewritten(string(page), blocks, outputs)), 0o644); err != nil { //nolint:gosec // a page
			t.Fatal(err)
		}
	}
}

// A test that the page names proves nothing if it is gone.
func TestTheTourNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(tourFile)
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile("\\[`(Test\\w+)`\\]\\(([^)]+)\\)").FindAllStringSubmatch(string(page), -1)
	if named := strings.Count(string(page), "`Test"); named != len(links) || named == 0 {
		t.Errorf("%d tests are named, %d with a link", named, len(links))
	}
	for _, link := range links {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(tourFile), link[2]))
		if err != nil || !strings.Contains(string(text), "func "+link[1]+"(") {
			t.Errorf("%s is not in %s (%v)", link[1], link[2], err)
		}
	}
}

func TestTheTourIsComparedInShape(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(tourFile)
	if err != nil {
		t.Fatal(err)
	}
	blocks := tour(string(page))
	outputs := make([]string, 0, len(blocks))
	for _, b := range blocks {
		outputs = append(outputs, b.output)
	}
	if diff := cmp.Diff(string(page), rewritten(string(page), blocks, outputs)); diff != "" {
		t.Errorf("with its own outputs the page is another, -page +rewritten:\n%s", diff)
	}
	const row = "2@16  01a22088-79d9-7bca-9808-72e624b31b6d  v1  order.placed.v1  0/2085480[0]  +12ms\n"
	if other := "1@7   01a22097-8172-7657-965f-0f6db2065e63  v1  order.placed.v1  A/85480[0]    +3ms  \n"; shape(row) != shape(other) {
		t.Errorf("%q and %q are different", shape(row), shape(other))
	}
	for _, other := range []string{strings.Replace(row, "placed", "rated", 1), strings.Replace(row, "  0/2085480[0]", "", 1), row + row} {
		if shape(row) == shape(other) {
			t.Errorf("%q passes for %q", other, row)
		}
	}
}

// quiet waits until all that was written is applied, and nothing more has been for some seconds.
func (p *process) quiet() {
	p.t.Helper()
	const seconds = 5
	last, still := int64(0), 0
	p.until("quiet", func(l line) bool {
		if l.Written == 0 {
			return false
		}
		if still++; l.Applied != last || l.Written != last {
			last, still = l.Written, 0
		}
		return still >= seconds
	})
}

// block is a command of the page, and what the page says that it prints.
type block struct {
	command string
	output  string
	from    int // the lines of the page that are its output
	to      int
}

// tour reads the commands out of the page's console blocks. A command goes on in the next line behind a backslash, or inside of
// double quotes.
func tour(page string) (blocks []block) {
	inside, open := false, false
	for i, text := range strings.Split(page, "\n") {
		switch {
		case strings.HasPrefix(text, "```"):
			inside, open = text == "```console", false
		case !inside:
		case open:
			b := &blocks[len(blocks)-1]
			b.command += "\n" + text
			b.from, b.to, open = i+1, i+1, goesOn(b.command)
		case strings.HasPrefix(text, "$ "):
			b := block{command: strings.TrimPrefix(text, "$ "), from: i + 1, to: i + 1}
			blocks, open = append(blocks, b), goesOn(b.command)
		default:
			b := &blocks[len(blocks)-1]
			b.output, b.to = b.output+text+"\n", i+1
		}
	}
	return blocks
}

func goesOn(command string) bool {
	return strings.HasSuffix(command, `\`) || strings.Count(command, `"`)%2 == 1
}

// inShell runs the commands one after the other, in one shell, and returns what each printed. moved puts the ports of this test's
// system in the place of those that up takes by itself.
func inShell(t *testing.T, moved *strings.Replacer, blocks []block, environ []string) []string {
	t.Helper()
	const end = "\x01"
	script := "exec 2>&1\n"
	for _, b := range blocks {
		script += moved.Replace(b.command) + "\nprintf '" + end + "'\n"
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", script)
	shell.Dir, shell.Env = t.TempDir(), append(os.Environ(), environ...)
	out, err := shell.Output()
	outputs := strings.Split(strings.ReplaceAll(string(out), "\r", ""), end)
	if err != nil || len(outputs) != len(blocks)+1 {
		t.Fatalf("%d of %d commands ended (%v); printed:\n%s", len(outputs)-1, len(blocks), err, out)
	}
	return outputs
}

// shapes are what differs from run to run, and what it becomes.
var shapes = []struct {
	of *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`"last_events":\[[^]]*\]`), `"last_events":[<events>]`}, // the partition is the order's
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+\d\d)?|\d\d:\d\d:\d\d\.\d{3}`), "<time>"},
	{regexp.MustCompile(`"publication":"[0-9a-f]+"`), `"publication":"<hash>"`},
	{regexp.MustCompile(`\b[0-9A-F]+/[0-9A-F]+\b`), "<lsn>"},
	{regexp.MustCompile(`[+-]\d+ms`), "<ms>"},
	{regexp.MustCompile(`\d+([.,]\d+)*`), "<n>"},
	{regexp.MustCompile(` +(\n|$)`), "$1"},
	{regexp.MustCompile(` {2,}`), "  "},
}

// shape is a text without what differs from run to run, column widths included.
func shape(text string) string {
	for _, s := range shapes {
		text = s.of.ReplaceAllString(text, s.to)
	}
	return text
}

// oneTransaction checks that the rows of a table have one xmin, if that is its second column.
func oneTransaction(t *testing.T, table string) {
	t.Helper()
	rows := strings.Split(table, "\n")
	if columns := strings.Fields(rows[0]); len(columns) < 2 || columns[1] != "xmin" {
		return
	}
	first := strings.Fields(rows[1])
	for _, row := range rows[2:] {
		if cells := strings.Fields(row); len(cells) == len(first) && cells[1] != first[1] {
			t.Errorf("not of one transaction:\n%s", table)
		}
	}
}

// sameEnd checks that the checkpoint holds the end of the transaction that was seen in the log.
func sameEnd(t *testing.T, blocks []block, outputs []string) {
	t.Helper()
	var log, position []string
	for i, b := range blocks {
		if strings.Contains(b.command, "tour_all', NULL") {
			log = regexp.MustCompile(`(\S+) +COMMIT`).FindStringSubmatch(outputs[i])
		}
		if strings.Contains(b.command, ".checkpoint.") {
			position = regexp.MustCompile(`"end_lsn":"([^"]+)"`).FindStringSubmatch(outputs[i])
		}
	}
	if log == nil || position == nil || log[1] != position[1] {
		t.Errorf("the log has the transaction's end at %v, the checkpoint at %v", log, position)
	}
}

// rewritten is the page with these outputs.
func rewritten(page string, blocks []block, outputs []string) string {
	lines := strings.Split(page, "\n")
	for i := len(blocks) - 1; i >= 0; i-- {
		output := strings.TrimSuffix(regexp.MustCompile(` +(\n|$)`).ReplaceAllString(outputs[i], "$1"), "\n")
		var printed []string
		if output != "" {
			printed = strings.Split(output, "\n")
		}
		lines = append(lines[:blocks[i].from:blocks[i].from], append(printed, lines[blocks[i].to:]...)...)
	}
	return strings.Join(lines, "\n")
}
