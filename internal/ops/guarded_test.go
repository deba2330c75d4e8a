package ops

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// serving is what of net/http answers requests.
var serving = []string{"Server", "Serve", "ServeTLS", "ListenAndServe", "ListenAndServeTLS"}

// TestNothingIsServedButBehindAGuard fails when a program gets a listener of its own: all that is served goes through ServeOn, which
// has the guard.
func TestNothingIsServedButBehindAGuard(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name := importedAs(file, "net/http")
		ast.Inspect(file, func(n ast.Node) bool {
			use, is := n.(*ast.SelectorExpr)
			if !is {
				return true
			}
			if of, is := use.X.(*ast.Ident); is && of.Name == name && slices.Contains(serving, use.Sel.Name) {
				rel, _ := filepath.Rel(root, files.Position(use.Pos()).Filename)
				found = append(found, filepath.ToSlash(rel)+": http."+use.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	want := []string{"internal/auth/guard.go: http.Server", "internal/ops/http.go: http.Server"}
	if !slices.Equal(found, want) {
		t.Errorf("served is in\n%s\nwant ServeOn alone, and the guard that it puts before:\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}

// importedAs is the name of a package in a file, "" if it is not imported.
func importedAs(file *ast.File, path string) string {
	for _, spec := range file.Imports {
		if got, _ := strconv.Unquote(spec.Path.Value); got != path {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return filepath.Base(path)
	}
	return ""
}
