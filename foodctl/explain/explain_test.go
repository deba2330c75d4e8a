package explain

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.." // of the module

func TestEveryPlaceExists(t *testing.T) {
	t.Parallel()
	for _, g := range All() {
		for _, p := range slices.Concat(g.Code, g.Tests) {
			if err := exists(p); err != nil {
				t.Errorf("%s names %s, %s: %v", g.Name, p.Path, p.Symbol, err)
			}
		}
		for _, p := range g.Code {
			if p.What == "" || strings.HasSuffix(p.Path, "_test.go") {
				t.Errorf("%s: %s is not said to do anything, or is a test", g.Name, p.Symbol)
			}
		}
		for _, p := range g.Tests {
			if !strings.HasSuffix(p.Path, "_test.go") || !strings.HasPrefix(p.Symbol, "Test") || !strings.Contains(p.Symbol+"_", "_"+g.Name+"_") {
				t.Errorf("%s is not the name of a test of %s", p.Symbol, g.Name)
			}
		}
		if len(g.Code) == 0 || len(g.Tests) == 0 || len(g.Try) == 0 {
			t.Errorf("%s lacks code, tests or something to try", g.Name)
		}
	}
}

func TestAPlaceThatIsGoneIsNoticed(t *testing.T) {
	t.Parallel()
	for _, p := range []Place{
		{"foodctl/explain/gone.go", "All", ""},
		{"foodctl/explain/explain.go", "Gone", ""},
		{"foodctl/explain/explain.go", "Command", ""},
		{"sql/orders/0004_orders.up.sql", "CREATE TABLE gone", ""},
	} {
		if exists(p) == nil {
			t.Errorf("%s is said to be in %s", p.Symbol, p.Path)
		}
	}
}

// exists looks a place up in the repository.
func exists(p Place) error {
	text, err := os.ReadFile(filepath.Join(root, p.Path))
	if err != nil {
		return err
	}
	if !strings.HasSuffix(p.Path, ".go") {
		if !strings.Contains(string(text), p.Symbol) {
			return fmt.Errorf("there is no such text in the file")
		}
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), p.Path, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if !slices.Contains(symbols(file), p.Symbol) {
		return fmt.Errorf("the file has only %s", strings.Join(symbols(file), ", "))
	}
	return nil
}

// symbols are what a file declares: methods as Type.method.
func symbols(file *ast.File) (names []string) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names = append(names, receiver(d)+d.Name.Name)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

// receiver is "Type." of a method, else "".
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	of := d.Recv.List[0].Type
	if pointer, is := of.(*ast.StarExpr); is {
		of = pointer.X
	}
	name, _ := of.(*ast.Ident)
	return name.Name + "."
}

// docs/design.md is where the invariants are defined, one in each row of a table.
func TestEachInvariantIsExplainedInItsOwnWords(t *testing.T) {
	t.Parallel()
	design, err := os.ReadFile(filepath.Join(root, "docs/design.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for line := range strings.Lines(string(design)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if name := strings.TrimSpace(cells[0]); len(cells) == 4 && strings.HasPrefix(name, "I") {
			rows[name] = cells
		}
	}
	all := All()
	if len(rows) != 12 || len(all) != len(rows) {
		t.Errorf("%d invariants in docs/design.md, %d explained", len(rows), len(all))
	}
	for i, g := range all {
		if g.Name != fmt.Sprintf("I%d", i+1) || rows[g.Name] == nil {
			t.Errorf("number %d is %s, which is in %q", i+1, g.Name, rows[g.Name])
			continue
		}
		if claim, breaks := strings.TrimSpace(rows[g.Name][1]), strings.TrimSpace(rows[g.Name][3]); g.Claim != claim || g.Breaks != breaks {
			t.Errorf("%s is %q, %q; in docs/design.md it is %q, %q", g.Name, g.Claim, g.Breaks, claim, breaks)
		}
	}
}

func TestGuaranteesAreFoundByNumberAndByWords(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"I1": "I1", "i12": "I12", "zombie": "I6", "idempotency retry": "I12", "dead letter": "I9", "Partition.Apply": "I8", "disk": "I11",
		"exactly once": "I4 I8", "nothing like this": "", "": "I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12",
	} {
		var names []string
		for _, g := range Find(strings.Fields(words)...) {
			names = append(names, g.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q finds %q, want %q", words, got, want)
		}
	}
}

func TestAGuaranteeIsPrintedWithLinksAndCommands(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Find("I8")[0].Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"I8  Read models and their offset", "If not: a batch applied twice at a takeover.",
		"projector/view/apply.go:Partition.Apply", "https://github.com/adamkwhite/kafkafoodpipeline/blob/main/projector/view/apply.go",
		"go test -run '^TestEachPartOfTheFenceFencesByItself_I8$' ./projector/view",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
}
