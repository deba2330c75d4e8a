// Package contract makes the contracts of docs/contracts: a JSON Schema of each version of each type of event, and the topic as
// AsyncAPI, all out of the code that writes and reads them.
//
// The structs of internal/event are the one source: fields and their types, the tags, the comments, and as examples the stored
// samples. So it reads that package's source, and is for whoever has the repository. It promises that a schema which is there is
// never replaced by one that accepts something else: an event never changes, it gets another version.
package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Base is where the schemas are, for those who look one up by its $id.
const Base = "https://raw.githubusercontent.com/adamkwhite/kafkafoodpipeline/main/docs/contracts/"

// events is the package of the structs, below the repository.
var events = filepath.Join("internal", "event")

// schema returns the schema of one version of a type.
//
// Its objects are open: they may have properties that it does not name. That is how events are read (internal/event/upcast.go):
// a field that a version does not have is ignored and its bytes stay. A schema that refused it would refuse an event that all
// programs take. And it binds writers no less: to name another property in an open schema is to change what was allowed for it,
// which a registry refuses as incompatible, as it should, since a field more is the next version.
func schema(data event.Data, comments comments, samples []json.RawMessage) ([]byte, error) {
	reflector := jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, AllowAdditionalProperties: true,
		LookupComment: comments.of,
	}
	s := reflector.Reflect(data)
	open(s)
	about := head{Version: s.Version, ID: Base + string(data.Type()) + ".json", Title: string(data.Type()), Description: s.Description}
	s.Version, s.Description = "", ""
	for _, sample := range samples {
		s.Examples = append(s.Examples, sample)
	}
	first, err := json.Marshal(about)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", data.Type(), err)
	}
	rest, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", data.Type(), err)
	}
	var text bytes.Buffer
	if err := json.Indent(&text, slices.Concat(first[:len(first)-1], []byte(","), rest[1:], []byte("\n")), "", "  "); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", data.Type(), err)
	}
	return text.Bytes(), nil
}

// head is what a reader wants to see first, and the library writes last.
type head struct {
	Version     string `json:"$schema"`
	ID          string `json:"$id"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// open says of the objects in a schema what holds for them without a word, too.
func open(s *jsonschema.Schema) {
	if s.Type == "object" {
		s.AdditionalProperties = jsonschema.TrueSchema
	}
	for _, def := range s.Definitions {
		open(def)
	}
}

// samples returns the payloads of a type that are stored for the tests.
func samples(source string, t event.Type) (all []json.RawMessage, err error) {
	files, err := filepath.Glob(filepath.Join(source, events, "testdata", string(t)+"*.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-"); kind != string(t) {
			continue // version 10 begins as version 1 does
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, bytes.TrimSpace(text))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no sample in %s", t, filepath.Join(events, "testdata"))
	}
	return all, nil
}

// of is jsonschema.Reflector's LookupComment.
func (c comments) of(t reflect.Type, field string) string {
	if t.PkgPath() != reflect.TypeFor[event.Event]().PkgPath() {
		return ""
	}
	if field != "" {
		return c[t.Name()+"."+field]
	}
	return c[t.Name()]
}
