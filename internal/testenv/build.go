package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/adamkwhite/kafkafoodpipeline"

// Build returns the path of the built program, by its folder in the module ("relay"), with build tags. Each is built once for a
// test binary; with coverage counters when GOCOVERDIR is set, so that what children cover counts too, and with the race detector when this
// binary has it.
func Build(t testing.TB, program string, tags ...string) string {
	t.Helper()
	path, err := builds.get(program, strings.Join(tags, ","))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builds = builder{done: make(map[string]func() (string, error))}

type builder struct {
	mu   sync.Mutex // guards what follows, not the builds themselves
	dir  string
	done map[string]func() (string, error)
}

func (b *builder) get(program, tags string) (string, error) {
	once, err := b.once(program, tags)
	if err != nil {
		return "", err
	}
	return once()
}

func (b *builder) once(program, tags string) (func() (string, error), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		dir, remove, err := scratch()
		if err != nil {
			return nil, err
		}
		b.dir = dir
		shared.add(func(context.Context) error { return remove() })
	}
	key := program + " " + tags
	if b.done[key] == nil {
		path := filepath.Join(b.dir, filepath.Base(program)+tags)
		b.done[key] = sync.OnceValues(func() (string, error) { return path, build(program, tags, path) })
	}
	return b.done[key], nil
}

func build(program, tags, path string) error {
	args := []string{"build", "-tags", tags, "-o", path}
	if os.Getenv("GOCOVERDIR") != "" {
		args = append(args, "-covermode=atomic", "-coverpkg="+module+"/...")
	}
	if race {
		args = append(args, "-race")
	}
	out, err := exec.CommandContext(context.Background(), "go", append(args, module+"/"+program)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}
