package auth

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// every is how long what was read from files is used without another look at them.
const every = time.Second

// reread is what some files say, now: they are read again when somebody asks, once a second at most. While they cannot be read or
// make no sense, it is what they said before: an operator's slip must not shut everybody out.
//
// They are compared by what is in them and not by their times, which may be as coarse as the time between two changes. They are small.
type reread[T any] struct {
	log   *slog.Logger
	paths []string
	parse func(contents [][]byte) (T, error)

	mu       sync.Mutex // guards what follows
	value    T
	contents [][]byte // that the value was made of
	trouble  string   // why the newest contents are not used, as it was logged
	next     time.Time
}

// open reads the files for the first time. parse returns errors without what is in the files, and without their names if there is one.
func open[T any](log *slog.Logger, parse func([][]byte) (T, error), paths ...string) (*reread[T], error) {
	r := &reread[T]{log: log, paths: paths, parse: parse, next: time.Now().Add(every)}
	var err error
	r.value, r.contents, err = r.read()
	return r, err
}

// now is what the files say.
func (r *reread[T]) now() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.next) {
		return r.value
	}
	r.next = time.Now().Add(every)
	value, contents, err := r.read()
	switch {
	case err != nil && err.Error() != r.trouble:
		r.trouble = err.Error()
		r.log.Warn("changed file not used", "file", r.file(), "err", err)
	case err == nil && !slices.EqualFunc(contents, r.contents, bytes.Equal):
		r.value, r.contents, r.trouble = value, contents, ""
		r.log.Info("changed file read", "file", r.file())
	case err == nil:
		r.trouble = "" // what could not be used was taken back
	}
	return r.value
}

func (r *reread[T]) file() string { return strings.Join(r.paths, ", ") }

func (r *reread[T]) read() (value T, contents [][]byte, err error) {
	for _, path := range r.paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return value, nil, err
		}
		contents = append(contents, content)
	}
	if value, err = r.parse(contents); err != nil {
		return value, nil, fmt.Errorf("%s: %w", r.file(), err)
	}
	return value, contents, nil
}
