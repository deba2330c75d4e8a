package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// The tools, at the versions that they are known to work with. `go run` builds each once.
const (
	kustomize       = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.2"
	kubectlValidate = "sigs.k8s.io/kubectl-validate@v0.0.4"
)

var overlays = []string{"dev", "production"}

// background outlives the test that first asks for what all share.
var background = context.Background()

// render is an overlay as kustomize prints it, built once for all tests.
func render(t *testing.T, overlay string) []byte {
	t.Helper()
	if err := available(); err != nil {
		t.Skipf("kustomize cannot be had (go run fetches it once, from the Go modules' proxy): %v", err)
	}
	out, err := rendered[overlay]()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var available = sync.OnceValue(func() error {
	_, err := command(background, "go", "run", kustomize, "version")
	return err
})

var rendered = map[string]func() ([]byte, error){
	"dev":        sync.OnceValues(func() ([]byte, error) { return build("dev") }),
	"production": sync.OnceValues(func() ([]byte, error) { return build("production") }),
}

func build(overlay string) ([]byte, error) {
	return command(background, "go", "run", kustomize, "build", filepath.Join("..", "overlays", overlay))
}

// object is a rendered resource.
type object struct {
	Kind     string
	Metadata meta
	node     *yaml.Node
}

type meta struct {
	Name, Namespace string
	Labels          map[string]string
}

// parse reads the documents of a rendered overlay.
func parse(text []byte) ([]object, error) {
	var all []object
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		o := object{node: new(yaml.Node)}
		err := decoder.Decode(o.node)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err == nil {
			err = o.node.Decode(&o)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
}

// decode returns one part of an object, by its kind.
func decode[T any](all []object, kind string) (map[string]T, error) {
	found := make(map[string]T)
	for _, o := range all {
		if o.Kind != kind {
			continue
		}
		var into T
		if err := o.node.Decode(&into); err != nil {
			return nil, err
		}
		found[o.Metadata.Name] = into
	}
	return found, nil
}

func objects(t *testing.T, overlay string) []object {
	t.Helper()
	all, err := parse(render(t, overlay))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
