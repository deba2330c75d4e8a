package testenv

import (
	"path/filepath"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/apicurio"
)

// SchemaRegistry starts a schema registry that belongs to one test, and returns its URL. Where it is not there yet it is fetched, and
// where it cannot be had the test fails: nothing else shows that what is said to a registry is what registries understand.
func SchemaRegistry(t testing.TB) string {
	t.Helper()
	s, err := apicurio.Start(t.Context(), filepath.Join(t.TempDir(), "apicurio.log"))
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
