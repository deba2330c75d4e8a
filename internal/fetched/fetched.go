// Package fetched keeps in the user's cache what is downloaded once: programs and schemas that tests and benches take.
//
// It promises that a directory of Once is whole where Dir finds it, whoever fetches it at the same time and whatever was killed on the way.
package fetched

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Dir is the directory of that name. If nobody has fetched it, the error wraps fs.ErrNotExist.
func Dir(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("a place for what is downloaded: %w: set HOME or XDG_CACHE_HOME", err)
	}
	dir := filepath.Join(cache, "kafkafoodpipeline", name)
	_, err = os.Stat(dir)
	return dir, err
}

// Once has fetch fill the directory of that name, unless it is there, and returns it. fetch is given an empty directory to fill, into,
// and another one for what it needs on the way. What it filled gets its name when it has returned without an error.
func Once(name string, fetch func(into, scratch string) error) (string, error) {
	dir, err := Dir(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	both, err := os.MkdirTemp(parent, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(both) //nolint:errcheck // the next one makes its own
	into, scratch := filepath.Join(both, "into"), filepath.Join(both, "scratch")
	if err := errors.Join(os.Mkdir(into, 0o755), os.Mkdir(scratch, 0o755)); err != nil {
		return "", err
	}
	if err := fetch(into, scratch); err != nil {
		return "", err
	}
	err = os.Rename(into, dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
		err = nil // another process was faster
	}
	return dir, err
}
