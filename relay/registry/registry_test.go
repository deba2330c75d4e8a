package registry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/goleak"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fake(t *testing.T, opts ...srfake.Option) *srfake.Registry {
	t.Helper()
	r := srfake.New(opts...)
	t.Cleanup(r.Close)
	return r
}

func opened(t *testing.T, f Flags, own bool) *Registry {
	t.Helper()
	r, err := Open(f, own)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// written counts the requests that change something.
func written(f *srfake.Registry) *atomic.Int32 {
	var n atomic.Int32
	f.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet && strings.HasSuffix(r.URL.Path, "/versions") && !strings.HasPrefix(r.URL.Path, "/compatibility") {
			n.Add(1)
		}
		return false
	})
	return &n
}

func TestEachSchemaIsRegisteredOnceUnderItsTypesName(t *testing.T) {
	t.Parallel()
	f := fake(t)
	writes := written(f)
	r := opened(t, Flags{URL: f.URL()}, true)
	if known, lacking, err := r.Check(t.Context()); known != 0 || lacking != len(event.Versions()) || err != nil || writes.Load() != 0 {
		t.Errorf("a look: %d, %d, %v, and %d writes", known, lacking, err, writes.Load())
	}
	first, err := r.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range event.Versions() {
		kind := string(data.Type())
		stored, there := f.GetSchema(kind, 1)
		prefix, err := first.Prefix(outbox.Row{Type: []byte(kind)})
		if err != nil || !there || stored.Type != sr.TypeJSON || stored.ID != int(prefix[4]) {
			t.Errorf("%s: got %v, %v for %+v", kind, prefix, err, stored)
		}
	}
	if int(writes.Load()) != len(first) {
		t.Errorf("%d writes of %d schemas", writes.Load(), len(first))
	}
	again, err := opened(t, Flags{URL: f.URL()}, true).Register(t.Context())
	if err != nil || int(writes.Load()) != len(first) || len(again) != len(first) {
		t.Errorf("again: %d schemas, %v, and %d writes", len(again), err, writes.Load())
	}
	if known, lacking, err := r.Check(t.Context()); known != len(first) || lacking != 0 || err != nil {
		t.Errorf("a look afterwards: %d, %d, %v", known, lacking, err)
	}
}

// incompatible has the registry say so of a type.
func incompatible(f *srfake.Registry, kind string) {
	f.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/compatibility/subjects/"+kind+"/") {
			return false
		}
		_, _ = w.Write([]byte(`{"is_compatible":false,"messages":["stars is another thing"]}`))
		return true
	})
}

func TestNothingIsRegisteredIfOneIsIncompatible(t *testing.T) {
	t.Parallel()
	f := fake(t)
	f.SeedSchema("order.rated.v1", 1, 1, sr.Schema{Schema: `{"type":"string"}`, Type: sr.TypeJSON})
	incompatible(f, "order.rated.v1")
	writes := written(f)
	_, err := opened(t, Flags{URL: f.URL()}, true).Register(t.Context())
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "order.rated.v1 is not compatible with what it has (stars is another thing)") {
		t.Errorf("got %v", err)
	}
	if writes.Load() != 0 {
		t.Errorf("%d writes", writes.Load())
	}
}

func TestAnswersThatPassAreToldFromThoseThatDoNot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status  int
		body    string
		refused bool
		want    string
	}{
		"overloaded":  {503, "", false, "answered with 503"},
		"too many":    {429, "slow down", false, "answered with 429"},
		"no login":    {401, "", true, "the right to read and register"},
		"no right":    {403, `{"error_code":40301,"message":"no"}`, true, "the right to read and register"},
		"no schema":   {422, `{"error_code":42201,"message":"broken"}`, true, "422: schema of customer.erased.v1: broken"},
		"no registry": {404, "<html>", true, "if it is one"},
		"moved":       {302, "", true, "if it is one"},
		"not JSON":    {200, "<html>", false, "ask the schema registry at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			t.Cleanup(server.Close)
			address := strings.Replace(server.URL, "http://", "http://relay:s3cret@", 1)
			_, err := opened(t, Flags{URL: address}, true).Register(t.Context())
			if errors.Is(err, ErrRefused) != tt.refused || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := opened(t, Flags{URL: "http://relay:s3cret@127.0.0.1:1"}, true).Register(t.Context())
	if err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "http://127.0.0.1:1") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("unreachable: %v", err)
	}
}

func TestLoginIsThatOfTheMoment(t *testing.T) {
	t.Parallel()
	f := fake(t, srfake.WithAuth("Basic cmVsYXk6czNjcmV0")) // relay:s3cret
	named := strings.Replace(f.URL(), "http://", "http://relay@", 1)
	if _, err := opened(t, Flags{URL: strings.Replace(f.URL(), "http://", "http://relay:s3cret@", 1)}, true).Register(t.Context()); err != nil {
		t.Errorf("in the URL: %v", err)
	}
	file := filepath.Join(t.TempDir(), "password")
	write(t, file, "old\n")
	r := opened(t, Flags{URL: named, PasswordFile: file}, true)
	if _, err := r.Register(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("a wrong one: %v", err)
	}
	write(t, file, "s3cret\n")
	if _, err := r.Register(t.Context()); err != nil {
		t.Errorf("replaced in the file: %v", err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFlagsThatDoNotGoTogetherNameTheOneToChange(t *testing.T) {
	t.Parallel()
	empty, broken := t.TempDir(), t.TempDir()
	write(t, filepath.Join(broken, "a.json"), "[]")
	for name, tt := range map[string]struct {
		flags   Flags
		another bool
		want    string
	}{
		"a password alone":     {Flags{PasswordFile: "x"}, false, "--schema-registry-password-file is for --schema-registry"},
		"schemas alone":        {Flags{Dir: "x"}, true, "--schemas is for --schema-registry"},
		"schemas of our own":   {Flags{URL: "http://r", Dir: "x"}, false, "--schemas is for --outbox"},
		"no schemas":           {Flags{URL: "http://r"}, true, "--schema-registry needs --schemas"},
		"no directory":         {Flags{URL: "http://r", Dir: "/nowhere"}, true, "no TYPE.json in /nowhere"},
		"an empty directory":   {Flags{URL: "http://r", Dir: empty}, true, "no TYPE.json in " + empty},
		"no schema":            {Flags{URL: "http://r", Dir: broken}, true, "a.json is no JSON Schema"},
		"no user":              {Flags{URL: "http://r", PasswordFile: "x"}, false, "needs a user"},
		"no password":          {Flags{URL: "http://u@r", PasswordFile: "/nowhere"}, false, "--schema-registry-password-file: open /nowhere"},
		"another protocol":     {Flags{URL: "kafka://u:s3cret@r"}, false, "want http://HOST:PORT"},
		"no host":              {Flags{URL: "r:8081"}, false, "want http://HOST:PORT"},
		"a broken password":    {Flags{URL: "http://u:s3cret%zz@r"}, false, "want http://HOST:PORT"},
		"something to forget":  {Flags{URL: "http://r?x=s3cret"}, false, "want http://HOST:PORT"},
		"a password with a #":  {Flags{URL: "http://u:s3#cret@r"}, false, "want http://HOST:PORT"},
		"a password with a /":  {Flags{URL: "http://u:s3cret/x@r"}, false, "want http://HOST:PORT"},
		"a password with an @": {Flags{URL: "http://u:s3cret@x@r:1:2"}, false, "want http://HOST:PORT"},
	} {
		_, err := Open(tt.flags, !tt.another)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if r, err := Open(Flags{}, true); r != nil || err != nil {
		t.Errorf("none: got %v, %v", r, err)
	}
}

func TestSchemasOfAnotherOutboxAreRegisteredAsTheyAre(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const text = `{"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":{"x":{}},"type":"object"}`
	write(t, filepath.Join(dir, "Changed.json"), text)
	write(t, filepath.Join(dir, "README.md"), "no schema")
	f := fake(t)
	schemas, err := opened(t, Flags{URL: f.URL(), Dir: dir}, false).Register(t.Context())
	if err != nil || len(schemas) != 1 {
		t.Fatalf("%d schemas, %v", len(schemas), err)
	}
	if got, there := f.GetSchema("Changed", 1); !there || got.Schema.Schema != text {
		t.Errorf("got %+v", got)
	}
}

// What is registered is written in an older draft, and must say the same of every payload.
func TestTheOlderDraftSaysTheSame(t *testing.T) {
	t.Parallel()
	ours, err := schemas("")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ours {
		if strings.Contains(s.text, "2020-12") || strings.Contains(s.text, "$defs") {
			t.Errorf("%s is not rewritten", s.kind)
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(s.text))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("mem:///"+s.kind, document); err != nil {
			t.Fatal(err)
		}
		compiled, err := compiler.Compile("mem:///" + s.kind)
		if err != nil {
			t.Fatal(err)
		}
		if compiled.DraftVersion != 7 {
			t.Errorf("%s is of draft %d", s.kind, compiled.DraftVersion)
		}
		for _, example := range document.(map[string]any)["examples"].([]any) {
			if err := compiled.Validate(example); err != nil {
				t.Errorf("%s: %v", s.kind, err)
			}
			refusesTheRest(t, s.kind, compiled, example.(map[string]any))
		}
	}
}

// refusesTheRest spoils a payload, property by property, each of which is required or of one type.
func refusesTheRest(t *testing.T, kind string, compiled *jsonschema.Schema, payload map[string]any) {
	t.Helper()
	for name, value := range payload {
		payload[name] = []any{nil}
		if compiled.Validate(payload) == nil {
			t.Errorf("%s: %s may be anything", kind, name)
		}
		payload[name] = value
		if nested, is := value.(map[string]any); is {
			refusesNested(t, kind, compiled, payload, nested)
		}
	}
}

func refusesNested(t *testing.T, kind string, compiled *jsonschema.Schema, payload, nested map[string]any) {
	t.Helper()
	for name, value := range nested {
		delete(nested, name)
		if compiled.Validate(payload) == nil {
			t.Errorf("%s: %s may be missing", kind, name)
		}
		nested[name] = value
	}
}
