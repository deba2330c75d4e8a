package ops

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const root = "../.." // of the module

// call is a log call in the source. A logger's With and an attribute are calls with keys and without a message.
type call struct {
	at      token.Position
	program string // "" where the code is in every program
	level   string // "" for With
	message string
	keys    []string
}

// methods are those of a *slog.Logger that say something: how many arguments stand before the keys, the message being the
// last of them.
var methods = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1,
	"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
	"LogAttrs": 3,
}

// source reads the log calls of all programs. It goes by names, not types, so it takes too much for a log call rather
// than too little: what it takes wrongly fails the test and can be named otherwise.
func source(t *testing.T) (calls []call) {
	t.Helper()
	files := token.NewFileSet()
	for _, dir := range []string{"orderservice", "relay", "projector", "foodctl", "internal/auth", "internal/ops"} {
		program := dir
		if strings.HasPrefix(dir, "internal") {
			program = ""
		}
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "viewtest") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if c, is := n.(*ast.CallExpr); is {
					if found := read(t, files, c); found != nil {
						found.program = program
						calls = append(calls, *found)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return calls
}

// read returns nil if the call says nothing to a log.
func read(t *testing.T, files *token.FileSet, c *ast.CallExpr) *call {
	t.Helper()
	method, is := c.Fun.(*ast.SelectorExpr)
	if !is || len(c.Args) == 0 {
		return nil
	}
	found := &call{at: files.Position(c.Pos())}
	on, _ := method.X.(*ast.Ident)
	name := method.Sel.Name
	before, says := methods[name]
	switch {
	case on != nil && on.Name == "http": // http.Error
		return nil
	case on != nil && on.Name == "slog":
		if len(c.Args) == 2 && !strings.HasPrefix(name, "New") { // slog.String and the like
			found.keys = keys(t, found, c.Args)
			return found
		}
		return nil
	case handler(method.X): // one that hands on what it was given
		return nil
	case name == "WithGroup":
		found.keys = keys(t, found, c.Args[:1])
		return found
	case name == "With":
		found.keys = keys(t, found, c.Args)
		return found
	case !says:
		return nil
	}
	if len(c.Args) < before {
		t.Errorf("%s: %s with %d arguments", found.at, name, len(c.Args))
		return nil
	}
	found.level = strings.TrimSuffix(name, "Context")
	if name == "LogAttrs" {
		level, _ := c.Args[1].(*ast.SelectorExpr)
		found.level = strings.TrimPrefix(level.Sel.Name, "Level")
	} else {
		found.keys = keys(t, found, c.Args[before:])
	}
	found.message = literal(t, found, c.Args[before-1])
	return found
}

func handler(e ast.Expr) bool {
	field, is := e.(*ast.SelectorExpr)
	return is && field.Sel.Name == "Handler"
}

// keys are every second argument.
func keys(t *testing.T, c *call, args []ast.Expr) (keys []string) {
	t.Helper()
	for i := 0; i < len(args); i += 2 {
		keys = append(keys, literal(t, c, args[i]))
	}
	return keys
}

func literal(t *testing.T, c *call, e ast.Expr) string {
	t.Helper()
	l, is := e.(*ast.BasicLit)
	if !is || l.Kind != token.STRING {
		t.Errorf("%s: keys and messages of the log must be written out", c.at)
		return ""
	}
	s, err := strconv.Unquote(l.Value)
	if err != nil {
		t.Errorf("%s: %v", c.at, err)
	}
	return s
}

// table returns the rows of the table in docs/logs.md under a heading, by what the first column has between backquotes.
func table(t *testing.T, heading string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "logs.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/logs.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := make(map[string][]string)
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		name := regexp.MustCompile("^ *`([^`]+)` *$").FindStringSubmatch(cells[0])
		if name == nil {
			continue
		}
		if rows[name[1]] != nil {
			t.Errorf("docs/logs.md, %s: %s stands there twice", heading, name[1])
		}
		for _, cell := range cells[1:] {
			rows[name[1]] = append(rows[name[1]], strings.TrimSpace(cell))
		}
	}
	if len(rows) == 0 {
		t.Fatalf("docs/logs.md has no table under %q", heading)
	}
	return rows
}

// programs are as a table has them.
func programs(set map[string]bool) string {
	if set[""] || len(set) == 4 {
		return "all"
	}
	return strings.Join(slices.DeleteFunc([]string{"orderservice", "relay", "projector", "foodctl"}, func(p string) bool { return !set[p] }), ", ")
}

func TestLogsHaveTheKeysOfTheTableAndNoOthers(t *testing.T) {
	t.Parallel()
	used := make(map[string]map[string]bool)
	for _, own := range []string{"time", "level", "msg"} { // slog's
		used[own] = map[string]bool{"": true}
	}
	rows := table(t, "Keys")
	for _, c := range source(t) {
		for _, key := range c.keys {
			if rows[key] == nil {
				t.Errorf("%s: docs/logs.md has no key %q", c.at, key)
			}
			if used[key] == nil {
				used[key] = make(map[string]bool)
			}
			used[key][c.program] = true
		}
	}
	for key, cells := range rows {
		if len(cells) != 3 || cells[0] == "" || cells[1] == "" {
			t.Errorf("docs/logs.md, %s: got %q, want its type, its meaning and its programs", key, cells)
		} else if want := programs(used[key]); cells[2] != want {
			t.Errorf("docs/logs.md: %s is used by %q, the table says %q", key, want, cells[2])
		}
	}
}

func TestLogMessagesAreConstantPhrasesInLowerCase(t *testing.T) {
	t.Parallel()
	seen := make(map[string]token.Position)
	for _, c := range source(t) {
		if c.level == "" {
			continue
		}
		first := []rune(c.message + " ")[0]
		if !unicode.IsLower(first) || strings.ContainsAny(c.message, ".;!\n") || strings.Contains(c.message, "failed") {
			t.Errorf("%s: %q is not a phrase in lower case", c.at, c.message)
		}
		if other, twice := seen[c.program+c.message]; twice {
			t.Errorf("%s and %s of one program say the same", c.at, other)
		}
		seen[c.program+c.message] = c.at
	}
	if len(seen) < 20 {
		t.Errorf("found only %d messages: %v", len(seen), slices.Collect(maps.Keys(seen)))
	}
}

func TestEveryWarningAndErrorHasAnAction(t *testing.T) {
	t.Parallel()
	rows := table(t, "Warnings and errors")
	said := make(map[string]bool)
	for _, c := range source(t) {
		if c.level != "Warn" && c.level != "Error" {
			continue
		}
		said[c.message] = true
		if rows[c.message] == nil {
			t.Errorf("%s: docs/logs.md does not say what to do about %q", c.at, c.message)
			continue
		}
		if got, want := rows[c.message][0], strings.ToLower(c.level); got != want {
			t.Errorf("%s: %q has level %s, docs/logs.md says %s", c.at, c.message, want, got)
		}
		if got, want := rows[c.message][1], programs(map[string]bool{c.program: true}); got != want && c.program != "" {
			t.Errorf("%s: %q is said by %s, docs/logs.md says %s", c.at, c.message, want, got)
		}
		if len(rows[c.message]) != 4 || rows[c.message][3] == "" {
			t.Errorf("docs/logs.md, %q: got %q, want level, program, meaning and action", c.message, rows[c.message])
		}
	}
	for message := range rows {
		if !said[message] {
			t.Errorf("docs/logs.md has %q, which nobody says", message)
		}
	}
}
