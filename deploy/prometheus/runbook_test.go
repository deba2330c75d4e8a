package prometheus_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const runbook = "deploy/runbook.md"

// headings are those of the runbook.
func headings(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(read(t, runbook), -1) {
		all = append(all, m[1])
	}
	return all
}

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

func TestEachAlertHasAnEntryInTheRunbookAndEachEntryItsAlert(t *testing.T) {
	t.Parallel()
	all := headings(t)
	var names []string
	for _, r := range alerts(t) {
		names = append(names, r.Alert)
		_, link, _ := strings.Cut(r.Annotations["runbook_url"], runbook+"#")
		if !slices.ContainsFunc(all, func(h string) bool { return anchor(h) == link }) {
			t.Errorf("%s: the runbook has no heading for #%s", r.Alert, link)
		}
		if link != anchor("Alert: "+r.Alert) {
			t.Errorf("%s: its link leads to #%s", r.Alert, link)
		}
	}
	for _, h := range all {
		if name, is := strings.CutPrefix(h, "Alert: "); is && !slices.Contains(names, name) {
			t.Errorf("the runbook has an entry for %s, which is no alert", name)
		}
	}
	// What an entry refers to is written as a name: "see RelayBehind".
	for _, name := range regexp.MustCompile(`\b(Pipeline|Program|Orderservice|Relay|Projector)[A-Z]\w+`).FindAllString(read(t, runbook), -1) {
		if !slices.Contains(names, name) {
			t.Errorf("the runbook names %s, which is no alert", name)
		}
	}
}

func TestEachExitCodeHasAnEntryInTheRunbookAndEachEntryItsCode(t *testing.T) {
	t.Parallel()
	codes := make(map[string][]int)
	for _, program := range []string{"foodctl", "orderservice", "projector", "relay"} {
		codes[program] = append(exitCodes(t, program), 1) // any other error
	}
	if !slices.Contains(codes["relay"], 3) {
		t.Fatalf("the relay's exit codes were not found in its source: %v", codes["relay"])
	}
	entries := make(map[string][]int)
	for _, h := range headings(t) {
		m := regexp.MustCompile(`^(.+): exit code (\d+(?:, \d+)*)`).FindStringSubmatch(h)
		if m == nil {
			continue
		}
		who := strings.Fields(strings.ToLower(strings.Trim(m[1], "`")))[0]
		for code := range strings.SplitSeq(m[2], ", ") {
			n, err := strconv.Atoi(code)
			if err != nil {
				t.Fatalf("heading %q: %v", h, err)
			}
			entries[who] = append(entries[who], n)
			if who != "all" && n != 0 && !slices.Contains(codes[who], n) {
				t.Errorf("the runbook has exit code %d of %s, which does not use it", n, who)
			}
		}
	}
	for program, used := range codes {
		for _, code := range used {
			if !slices.Contains(entries["all"], code) && !slices.Contains(entries[program], code) {
				t.Errorf("the runbook has no heading for exit code %d of %s", code, program)
			}
		}
	}
}

// exitCodes are the codes in the composite literals of ops.ExitError in a program's source.
func exitCodes(t *testing.T, program string) []int {
	t.Helper()
	var codes []int
	constants := make(map[string]string)
	var files []*ast.File
	err := filepath.WalkDir(filepath.Join(root, program), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	each := func(visit func(ast.Node)) {
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool { visit(n); return true })
		}
	}
	each(func(n ast.Node) {
		if spec, is := n.(*ast.ValueSpec); is && len(spec.Values) == 1 {
			if value, literal := spec.Values[0].(*ast.BasicLit); literal {
				constants[spec.Names[0].Name] = value.Value
			}
		}
	})
	each(func(n ast.Node) {
		literal, is := n.(*ast.CompositeLit)
		if !is {
			return
		}
		if kind, qualified := literal.Type.(*ast.SelectorExpr); !qualified || kind.Sel.Name != "ExitError" {
			return
		}
		for _, element := range literal.Elts {
			pair, keyed := element.(*ast.KeyValueExpr)
			if !keyed || pair.Key.(*ast.Ident).Name != "Code" {
				continue
			}
			code := ""
			switch value := pair.Value.(type) {
			case *ast.BasicLit:
				code = value.Value
			case *ast.Ident:
				code = constants[value.Name]
			}
			number, err := strconv.Atoi(code)
			if err != nil {
				t.Fatalf("%s: an exit code that is no constant: teach this test to find it", program)
			}
			codes = append(codes, number)
		}
	})
	return codes
}
