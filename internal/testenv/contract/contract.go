// Package contract holds payloads against the schemas of docs/contracts, with a validator that shares nothing with what made them.
// Only tests import it.
package contract

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/adamkwhite/kafkafoodpipeline/docs/contracts"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Set are the schemas of all types. It may be used by several tests at once.
type Set struct {
	open, closed map[event.Type]*jsonschema.Schema
}

// Schemas compiles the committed ones.
func Schemas(t testing.TB) *Set {
	t.Helper()
	files, err := fs.Glob(contracts.Schemas(), "*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas in docs/contracts: %v", err)
	}
	s := &Set{make(map[event.Type]*jsonschema.Schema), make(map[event.Type]*jsonschema.Schema)}
	for _, file := range files {
		text, err := fs.ReadFile(contracts.Schemas(), file)
		if err != nil {
			t.Fatal(err)
		}
		kind := event.Type(strings.TrimSuffix(file, ".json"))
		s.open[kind] = compile(t, file, text)
		s.closed[kind] = compile(t, file, bytes.ReplaceAll(text, []byte(`"additionalProperties": true`), []byte(`"additionalProperties": false`)))
	}
	return s
}

func compile(t testing.TB, file string, text []byte) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	compiler := jsonschema.NewCompiler() // which holds the document against the schema that its $schema names
	compiler.AssertFormat()
	if err := compiler.AddResource("mem:///"+file, document); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	compiled, err := compiler.Compile("mem:///" + file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return compiled
}

// Types returns how many types there are.
func (s *Set) Types() int { return len(s.open) }

// Accepts returns what the schema of a type has against a payload.
func (s *Set) Accepts(kind event.Type, payload []byte) error { return validate(s.open, kind, payload) }

// Written returns what there is against a payload that our own programs write: they write no property that its version does
// not have, which the schema lets pass, as readers do.
func (s *Set) Written(kind event.Type, payload []byte) error {
	return validate(s.closed, kind, payload)
}

func validate(in map[event.Type]*jsonschema.Schema, kind event.Type, payload []byte) error {
	schema, known := in[kind]
	if !known {
		return fmt.Errorf("docs/contracts has no schema of %s", kind)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("payload of %s: %w", kind, err)
	}
	return schema.Validate(value)
}
