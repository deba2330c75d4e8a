package app

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATokenGoesIntoAFileOfItsUsersAndItsLineIsPrinted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "till.token")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"token", "till", "command", file}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want that its user alone can read it", info, err)
	}
	if text := strings.TrimSuffix(string(token), "\n"); len(text) != 64 || strings.Contains(out.String(), text) {
		t.Errorf("token %q, printed %q: want 64 digits that are not printed", text, &out)
	}
	if !strings.HasPrefix(out.String(), "till command ") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("printed %q, want a line of a token file", &out)
	}
	out.Reset()
	for name, args := range map[string][]string{
		"a file that is there": {"token", "till", "command", file}, "an unknown scope": {"token", "till", "all", file + "2"},
		"a name with a space": {"token", "the till", "read", file + "2"},
	} {
		if err := run(t.Context(), args, &out, io.Discard); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, printed %q; want an error and nothing printed", name, err, &out)
		}
	}
	if _, err := os.Stat(file + "2"); err == nil {
		t.Error("a refused command leaves a file")
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, token) {
		t.Errorf("the token that was there is another now, %v", err)
	}
}
