package testenv

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/apicurio"
)

// SchemaRegistry starts a schema registry that belongs to one test, and returns its URL. Where there is none
// the test is skipped, and says how to have one.
func SchemaRegistry(t testing.TB) string {
	t.Helper()
	s, err := apicurio.Start(t.Context(), filepath.Join(t.TempDir(), "apicurio.log"))
	if errors.Is(err, apicurio.ErrNotThere) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
	})
	return s.URL()
}
