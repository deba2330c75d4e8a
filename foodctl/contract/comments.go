package contract

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
)

// comments are those of structs, by name, and of their fields, by STRUCT.FIELD.
type comments map[string]string

// readComments reads those of a package. Those of the library leave structs out that are not exported, as older versions are.
func readComments(dir string) (comments, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err == nil && len(files) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("source of the events in %s: %w", dir, err)
	}
	found := make(comments)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("source of the events: %w", err)
		}
		for _, decl := range parsed.Decls {
			if d, is := decl.(*ast.GenDecl); is {
				found.declared(d)
			}
		}
	}
	return found, nil
}

func (c comments) declared(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		t, is := spec.(*ast.TypeSpec)
		if !is {
			continue
		}
		c[t.Name.Name] = sentence(d.Doc, t.Doc)
		s, is := t.Type.(*ast.StructType)
		if !is {
			continue
		}
		for _, field := range s.Fields.List {
			for _, name := range field.Names {
				c[t.Name.Name+"."+name.Name] = sentence(field.Comment, field.Doc)
			}
		}
	}
}

// sentence is the text of the last comment that there is, in one line.
func sentence(groups ...*ast.CommentGroup) (text string) {
	for _, g := range groups {
		if g != nil {
			text = strings.Join(strings.Fields(g.Text()), " ")
		}
	}
	return text
}
