package registry

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/adamkwhite/kafkafoodpipeline/docs/contracts"
)

// schema is that of a type.
type schema struct {
	kind string
	text string
}

// subject is the name under which a registry keeps the versions of a schema: the type's, whatever topic its events are in, which is
// Confluent's RecordNameStrategy. A type means the same in every topic, so it has one history of schemas, also when the topic is another
// one after a recovery, and where each row names its topic, none is known before.
func (s schema) subject() string { return s.kind }

func (s schema) registered() sr.Schema { return sr.Schema{Schema: s.text, Type: sr.TypeJSON} }

// schemas reads those of a directory, or the food orders'.
func schemas(dir string) ([]schema, error) {
	if dir == "" {
		return read(contracts.Schemas(), older.Replace)
	}
	all, err := read(os.DirFS(dir), func(text string) string { return text })
	if err == nil && len(all) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("--schemas: no TYPE.json in %s can be used: %w", dir, err)
	}
	return all, nil
}

// older writes one of our schemas in an older draft, which says the same of a payload: the words that they use have not changed since,
// but for the one for definitions. Registries compare drafts up to 7 only, some of them (Apicurio 3.0), and to one that is newer they
// answer with an error of their own.
var older = strings.NewReplacer(
	"https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#",
	`"$defs"`, `"definitions"`, `"#/$defs/`, `"#/definitions/`,
)

// read reads <type>.json.
func read(files fs.FS, rewrite func(string) string) (all []schema, err error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			return nil, fmt.Errorf("%s is no JSON Schema: %w", name, err)
		}
		all = append(all, schema{strings.TrimSuffix(path.Base(name), ".json"), rewrite(string(text))})
	}
	return all, nil
}
