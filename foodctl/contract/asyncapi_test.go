package contract

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/contract"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// document is the committed one, as JSON values.
func document(t *testing.T) map[string]any {
	t.Helper()
	return parsed(t, []byte(read(t, filepath.Join(committed, asyncAPIFile))))
}

func parsed(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var fromYAML any
	if err := yaml.Unmarshal(text, &fromYAML); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return value.(map[string]any)
}

// official is the schema of AsyncAPI 3.0.0, byte for byte as the npm package @asyncapi/specs 6.11.1 has it (Apache-2.0).
func official(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "asyncapi", "3.0.0.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(text)); sum != "d4571a420e6ffb7fcc7066c95a6db1202f299a3c51daa103d0706bf30f95e626" {
		t.Fatalf("the schema is another than the package's: its sum is %s", sum)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return compiled(t, "mem:///asyncapi.json", value, "")
}

// compiled compiles what is at a JSON pointer of a document.
func compiled(t *testing.T, name string, document any, pointer string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(name + "#" + pointer)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestTheDocumentIsAsyncAPI(t *testing.T) {
	t.Parallel()
	schema := official(t)
	if err := schema.Validate(document(t)); err != nil {
		t.Error(err)
	}
	text := read(t, filepath.Join(committed, asyncAPIFile))
	for was, is := range map[string]string{
		"action: send":          "action: publish",
		"partitions: 3":         "partitions: three",
		"        groupId:":      "        group:",
		"  version: \"1\"":      "  versions: \"1\"",
		"schemaIdLocation: pay": "schemaIdLocation: over-pay",
	} {
		spoilt := strings.Replace(text, was, is, 1)
		if spoilt == text {
			t.Errorf("the document does not have %q", was)
		}
		if schema.Validate(parsed(t, []byte(spoilt))) == nil {
			t.Errorf("%q for %q was not refused", is, was)
		}
	}
}

// messageOf is what the document says of a type.
type messageOf struct {
	headers, key *jsonschema.Schema
	examples     []any
	payload      string // the file of its schema
}

func messagesOf(t *testing.T) map[event.Type]messageOf {
	t.Helper()
	all := document(t)
	found := make(map[event.Type]messageOf)
	for name, value := range at[map[string]any](t, all, "components", "messages") {
		m := value.(map[string]any)
		pointer := "/components/messages/" + name
		found[event.Type(name)] = messageOf{
			headers:  compiled(t, "mem:///document.json", all, pointer+"/headers"),
			key:      compiled(t, "mem:///document.json", all, pointer+"/bindings/kafka/key"),
			examples: at[[]any](t, m, "examples"),
			payload:  at[string](t, m, "payload", "schema", "$ref"),
		}
		if _, listed := at[map[string]any](t, all, "channels", topic.Name, "messages")[name]; !listed {
			t.Errorf("%s is not in the channel", name)
		}
	}
	return found
}

// at returns what is at a path.
func at[T any](t *testing.T, value any, path ...string) (found T) {
	t.Helper()
	for _, word := range path {
		object, is := value.(map[string]any)
		if !is {
			t.Fatalf("%q of %v is not there", word, path)
		}
		value = object[word]
	}
	found, is := value.(T)
	if !is {
		t.Fatalf("%v is %T", path, value)
	}
	return found
}

func TestTheDocumentsMessagesAreTheRecords(t *testing.T) {
	t.Parallel()
	schemas, messages := contract.Schemas(t), messagesOf(t)
	if len(messages) != schemas.Types() {
		t.Errorf("%d messages of %d types", len(messages), schemas.Types())
	}
	for kind, m := range messages {
		if m.payload != "./"+string(kind)+".json" {
			t.Errorf("%s: the payload is %s", kind, m.payload)
		}
		for _, e := range m.examples {
			payload, err := json.Marshal(at[any](t, e, "payload"))
			if err != nil {
				t.Fatal(err)
			}
			if err := schemas.Written(kind, payload); err != nil {
				t.Errorf("%s: example %s: %v", kind, payload, err)
			}
			record, err := recordOf(kind, payload)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(at[map[string]any](t, e, "headers"), headersOf(record)); diff != "" {
				t.Errorf("%s: the example's headers are not the record's (-example +record):\n%s", kind, diff)
			}
			if got, err := topic.Parse(record); err != nil || got.Type != kind {
				t.Errorf("%s: the example is read as %v, %v", kind, got, err)
			}
			m.fits(t, kind, record)
		}
		m.fits(t, kind, fromTheTable(t, kind))
	}
}

// fits holds a record's headers and key against a message.
func (m messageOf) fits(t *testing.T, kind event.Type, record *kgo.Record) {
	t.Helper()
	headers := headersOf(record)
	if err := m.headers.Validate(headers); err != nil {
		t.Errorf("%s: %v", kind, err)
	}
	if err := m.key.Validate(string(record.Key)); err != nil {
		t.Errorf("%s: key: %v", kind, err)
	}
	for _, name := range []string{"ce_id", "ce_type", "content-type", "version", "outbox_seq"} {
		was := headers[name]
		headers[name] = "!"
		if m.headers.Validate(headers) == nil {
			t.Errorf("%s: header %s may have any value", kind, name)
		}
		delete(headers, name)
		if m.headers.Validate(headers) == nil {
			t.Errorf("%s: header %s may be missing", kind, name)
		}
		headers[name] = was
	}
}

func headersOf(r *kgo.Record) map[string]any {
	all := make(map[string]any)
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

// fromTheTable is a record of a row that was read from the table, by a client's request that had a trace.
func fromTheTable(t *testing.T, kind event.Type) *kgo.Record {
	t.Helper()
	const order = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	r, err := topic.Record(topic.Name, outbox.Row{
		Seq: []byte("1"), ID: []byte("019ab2c8-8f3e-7c55-8a6a-6f0d2c1b9e4d"), AggregateID: []byte(order), Type: []byte(kind), Version: []byte("12"),
		Payload: []byte("{}"), OccurredAt: []byte("2026-11-23 04:22:00+00"),
		Headers: []byte(`{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","correlation_id":"x"}`),
	}, topic.Source{Name: "/orders", Committed: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
