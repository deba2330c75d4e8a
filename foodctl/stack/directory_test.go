package stack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
)

func open(t *testing.T, path string) *stack.Directory {
	t.Helper()
	d, err := stack.OpenDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestADirectoryIsHeldByOneAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	d := open(t, path)
	_, err := stack.OpenDirectory(path)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d:", os.Getpid())) {
		t.Fatalf("second open: %v: want a refusal with the pid of the first, %d", err, os.Getpid())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestADirectoryOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	thesis := filepath.Join(path, "thesis.txt")
	if err := os.WriteFile(thesis, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := stack.OpenDirectory(path); err == nil || !strings.Contains(err.Error(), "was not made by foodctl") {
		t.Fatalf("open: %v: want a refusal", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 {
		t.Errorf("entries %v, %v: want nothing but the file that was there", entries, err)
	}
}

func TestResetWipesAllButTheLockAndTheMarker(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	d := open(t, path)
	sub, err := d.Sub("postgres")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sub, "row"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(sub); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", sub, err)
	}
	if _, err := stack.OpenDirectory(path); err == nil {
		t.Error("the lock went with the reset")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path) // still known as foodctl's own
}
