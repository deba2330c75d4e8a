// Package prometheus_test holds what operators read against what the programs do: the catalogue of metrics, the alerts,
// the dashboards and the runbook.
package prometheus_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// root is the repository, from this directory.
const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
