package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	marker   = "made-by-foodctl" // in every directory that foodctl made, and may therefore remove
	lockFile = "foodctl.pid"
)

// Directory is a data directory that this process holds alone.
type Directory struct {
	Path string

	lock *os.File
}

// OpenDirectory makes the directory or takes one that foodctl made, and locks it until Close or the end of the process.
func OpenDirectory(path string) (*Directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := adopt(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(lock); err != nil {
		defer lock.Close()
		return nil, held(path, lock, err)
	}
	d := &Directory{Path: path, lock: lock}
	if err := errors.Join(lock.Truncate(0), d.note()); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Directory) note() error {
	_, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// held says who holds the lock.
func held(path string, lock *os.File, err error) error {
	if !errors.Is(err, errLocked) {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	b := make([]byte, 20)
	n, _ := lock.ReadAt(b, 0)
	pid := strings.TrimSpace(string(b[:n]))
	return fmt.Errorf("%s is in use by the foodctl with pid %s: stop it (kill -INT %s), or give another --data-dir", path, pid, pid)
}

// adopt makes path, unless it is there and was made by foodctl. An empty directory counts as made by foodctl.
func adopt(path string) error {
	// The database server may run under another user and has to be able to pass through.
	if err := os.MkdirAll(path, 0o755); err != nil { // see above; what is secret in it has its own mode
		return fmt.Errorf("data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, marker)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty and was not made by foodctl: give --data-dir a directory of its own", path)
	}
	text := "foodctl keeps its Postgres cluster and the logs of its programs here. `foodctl up --reset` removes it all.\n"
	return os.WriteFile(filepath.Join(path, marker), []byte(text), 0o600)
}

// Reset removes everything in the directory but its marker and lock.
func (d *Directory) Reset() error {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == marker || e.Name() == lockFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(d.Path, e.Name())); err != nil {
			return fmt.Errorf("reset %s: %w", d.Path, err)
		}
	}
	return nil
}

// Remove removes the directory itself and gives it up.
func (d *Directory) Remove() error {
	return errors.Join(os.RemoveAll(d.Path), d.Close())
}

// Sub makes and returns a directory inside. Others may enter it, see adopt.
func (d *Directory) Sub(name string) (string, error) {
	path := filepath.Join(d.Path, name)
	return path, os.MkdirAll(path, 0o755) // see adopt
}

// Close gives the directory up. The lock first: a child that is just being made has the file open until it runs its program.
func (d *Directory) Close() error { return errors.Join(unlock(d.lock), d.lock.Close()) }
