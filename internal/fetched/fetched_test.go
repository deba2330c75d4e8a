package fetched

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatFailedIsNotThereAndWhatIsThereIsNotFetchedAgain(t *testing.T) {
	home := t.TempDir() // where caches are, on one system or another
	t.Setenv("XDG_CACHE_HOME", home)
	t.Setenv("HOME", home)
	write := func(into string) error { return os.WriteFile(filepath.Join(into, "file"), []byte("x"), 0o600) }
	broken := errors.New("cut off")
	_, err := Once("thing", func(into, _ string) error { return errors.Join(write(into), broken) })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want what fetch said", err)
	}
	dir, err := Dir("thing")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s after a fetch that failed: %v, want that it is not there", dir, err)
	}
	got, err := Once("thing", func(into, _ string) error {
		_, err := Once("thing", func(into, _ string) error { return write(into) }) // another process is faster
		return errors.Join(err, os.WriteFile(filepath.Join(into, "late"), nil, 0o600))
	})
	if got != dir || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "late")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the slower one has changed what was there: %v", err)
	}
	if _, err = Once("thing", func(string, string) error { return broken }); err != nil {
		t.Errorf("fetched again: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if len(left) != 1 || err != nil {
		t.Errorf("%v is in the cache, %v: want the thing alone", left, err)
	}
}
