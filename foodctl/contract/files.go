package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Files are the contracts, by the names of their files.
type Files map[string][]byte

// Make makes the contracts of what is in source, the repository's directory.
func Make(source string) (Files, error) {
	comments, err := readComments(filepath.Join(source, events))
	if err != nil {
		return nil, err
	}
	files := make(Files)
	var messages []message
	for _, data := range event.Versions() {
		t := data.Type()
		samples, err := samples(source, t)
		if err != nil {
			return nil, err
		}
		if files[string(t)+".json"], err = schema(data, comments, samples); err != nil {
			return nil, err
		}
		m := message{Type: t, Description: comments.of(reflect.TypeOf(data), "")}
		for _, payload := range samples {
			e, err := exampleOf(t, payload)
			if err != nil {
				return nil, err
			}
			m.Examples = append(m.Examples, e)
		}
		messages = append(messages, m)
	}
	files[asyncAPIFile], err = asyncAPI(messages)
	return files, err
}

// Difference is a file that is not what the code says.
type Difference struct {
	File   string
	Breaks bool // what is committed would be changed or removed in what it accepts, which is never done
	Detail string
}

// String is a line for people.
func (d Difference) String() string { return d.File + ": " + d.Detail }

// Compare holds the files in a directory against the contracts.
func (f Files) Compare(dir string) (all []Difference, err error) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		there, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			all = append(all, Difference{File: name, Detail: "is not there: write it"})
		case err != nil:
			return nil, err
		case bytes.Equal(there, f[name]):
		case !strings.HasSuffix(name, ".json"), sameRules(there, f[name]):
			all = append(all, Difference{File: name, Detail: "says it otherwise, and accepts the same: write it anew"})
		default:
			all = append(all, Difference{File: name, Breaks: true, Detail: "accepts other payloads than the code says"})
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range there {
		if name := filepath.Base(path); f[name] == nil {
			all = append(all, Difference{File: name, Breaks: true, Detail: "is of a type that the code cannot read any more"})
		}
	}
	return all, nil
}

// ErrBreaks means that what an event is would change.
var ErrBreaks = errors.New("an event never changes, and none is removed: undo that and add a new version, as internal/event/upcast.go says " +
	"(of a version that was never released, remove the file first)")

// Breaks returns ErrBreaks if one of the differences would change an event.
func Breaks(differ []Difference) error {
	if slices.ContainsFunc(differ, func(d Difference) bool { return d.Breaks }) {
		return ErrBreaks
	}
	return nil
}

// Write brings the files in a directory to what the code says, and returns what differed. It changes nothing if that
// would change what a schema accepts.
func (f Files) Write(dir string) ([]Difference, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	differ, err := f.Compare(dir)
	if err != nil {
		return nil, err
	}
	if err := Breaks(differ); err != nil {
		return differ, err
	}
	for _, d := range differ {
		if err := os.WriteFile(filepath.Join(dir, d.File), f[d.File], 0o644); err != nil { //nolint:gosec // files of the repository
			return nil, fmt.Errorf("write: %w", err)
		}
	}
	return differ, nil
}

// sameRules says whether two schemas accept the same: whether they differ in nothing but what they tell people.
func sameRules(a, b []byte) bool {
	var left, right any
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil {
		return false
	}
	return reflect.DeepEqual(rules(left), rules(right))
}

// rules is a schema without what tells people about it.
func rules(schema any) any {
	object, is := schema.(map[string]any)
	if !is {
		return schema
	}
	kept := make(map[string]any)
	for word, value := range object {
		switch word {
		case "title", "description", "examples":
		case "properties", "$defs": // whose words are names
			kept[word] = named(value)
		default:
			kept[word] = rules(value)
		}
	}
	return kept
}

// named is rules of schemas by name: a property may well be called title.
func named(value any) any {
	object, is := value.(map[string]any)
	if !is {
		return value
	}
	kept := make(map[string]any)
	for name, schema := range object {
		kept[name] = rules(schema)
	}
	return kept
}
