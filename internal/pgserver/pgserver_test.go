package pgserver_test

import (
	"os"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
)

func TestStart(t *testing.T) {
	t.Parallel()
	c := pgserver.Config{Dir: dir(t), Progress: func(s string) { t.Log(s) }, Settings: map[string]string{"fsync": "off"}}
	s, err := pgserver.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if s, err = pgserver.Start(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context(), pgserver.Fast); err != nil {
		t.Fatal(err)
	}
}

// dir is a directory that the unprivileged user can enter, which t.TempDir is not.
func dir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "pgserver-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}
