package view

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
)

func file(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// withCouriers are the program's read models and the example's.
func withCouriers() map[string]func(events int) model {
	with := maps.Clone(models)
	with["courier_stats"] = newCouriers
	return with
}

var codeBlock = regexp.MustCompile("(?s)```(go|sql)\n(.*?)```")

// What docs/read-models.md shows is what TestCourierStats tests, to the letter.
func TestTheDocumentShowsTheExampleThatIsTested(t *testing.T) {
	t.Parallel()
	document := file(t, "../../docs/read-models.md")
	tested := file(t, "couriers_test.go") + file(t, "testdata/courier_stats.up.sql") + file(t, "testdata/courier_stats.down.sql")
	blocks := codeBlock.FindAllStringSubmatch(document, -1)
	if len(blocks) < 4 {
		t.Fatalf("%d blocks of code, want the migration's two, the model and its test", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(tested, block[2]) {
			t.Errorf("not in the example:\n%s", block[2])
		}
	}
}
