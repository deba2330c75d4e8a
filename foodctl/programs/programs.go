// Package programs finds the programs that foodctl runs as child processes, and builds them when there are none.
//
// They lie beside foodctl's own executable when it was installed with them. When foodctl was started by `go run`, they
// are built from the same source into the user's cache directory. Go's build cache makes that a matter of a second from
// the second time on, and a program is never older than its source.
package programs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Module is the path of the module that holds the programs.
const Module = "github.com/adamkwhite/kafkafoodpipeline"

// Names are the programs, in the order in which an event meets them.
var Names = []string{"orderservice", "relay", "projector"}

// quiet is how long a build may take before it says what it is doing.
const quiet = time.Second

// Find returns the directory that holds all the programs. Progress is told about a build that takes long.
func Find(ctx context.Context, progress func(string)) (dir string, err error) {
	if self, err := os.Executable(); err == nil && holds(filepath.Dir(self)) {
		return filepath.Dir(self), nil
	}
	source, err := Source(ctx)
	if err != nil {
		return "", err
	}
	dir, err = target(source)
	if err != nil {
		return "", err
	}
	slow := time.AfterFunc(quiet, func() {
		progress("building " + strings.Join(Names, ", ") + " (the first time takes up to a minute)")
	})
	defer slow.Stop()
	return dir, build(ctx, source, dir)
}

func holds(dir string) bool {
	for _, name := range Names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// Source is the directory of the module: the one around the working directory, else the one that foodctl was built from.
func Source(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("orderservice, relay and projector are not beside this program and cannot be built (go env: %w): "+
			"run `make build` and start bin/foodctl, or install Go from https://go.dev/dl", err)
	}
	candidates := []string{filepath.Dir(strings.TrimSpace(string(out)))}
	if _, file, _, known := runtime.Caller(0); known {
		candidates = append(candidates, filepath.Dir(filepath.Dir(filepath.Dir(file))))
	}
	for _, dir := range candidates {
		if isModule(dir) {
			return dir, nil
		}
	}
	return "", errors.New("orderservice, relay and projector are not beside this program, and its source is not here to build them: " +
		"run it in the repository, or put the programs beside it")
}

func isModule(dir string) bool {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && bytes.HasPrefix(mod, []byte("module "+Module+"\n"))
}

// target is a directory for the programs of this source alone: two clones do not overwrite each other's.
func target(source string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("a place for the programs: %w: set HOME or XDG_CACHE_HOME", err)
	}
	key := sha256.Sum256([]byte(source + "\x00" + strings.Join(flags(), " ")))
	dir := filepath.Join(cache, "kafkafoodpipeline", "bin", hex.EncodeToString(key[:6]))
	return dir, os.MkdirAll(dir, 0o755) // programs are for everyone to run
}

// flags makes the programs record their coverage when this program is asked to.
func flags() []string {
	if os.Getenv("GOCOVERDIR") == "" {
		return nil
	}
	return []string{"-covermode=atomic", "-coverpkg=" + Module + "/..."}
}

func build(ctx context.Context, source, dir string) error {
	args := append([]string{"build", "-o", dir}, flags()...)
	for _, name := range Names {
		args = append(args, "./"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), source, err, out)
	}
	return nil
}
