package stack

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestChildrenInheritNoFlagOfAProgram(t *testing.T) {
	t.Parallel()
	twin := regexp.MustCompile(`(?:env:|"listen_env": )"([A-Z_]+)"`)
	found := 0
	for _, dir := range []string{"orderservice/app", "relay/app", "projector/app", "foodctl/app", "internal/ops", "internal/auth", "internal/kafka"} {
		files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range twin.FindAllStringSubmatch(string(source), -1) {
				found++
				if match[1] == "LOG_LEVEL" || strings.HasSuffix(file, "_test.go") {
					continue // the one is meant for all, the other for nobody
				}
				if left := Inherited([]string{match[1] + "=secret"}); len(left) != 0 {
					t.Errorf("%s: a child inherits %s", file, match[1])
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("%d flags found in the programs' sources, want at least 40: is the expression out of date?", found)
	}
}

func TestChildrenInheritTheRest(t *testing.T) {
	t.Parallel()
	rest := []string{"PATH=/bin", "HOME=/root", "GOCOVERDIR=/cover", "CRASH_AT=x:2", "CRASH_HITS=/hits", "LOG_LEVEL=debug", "PGSSLROOTCERT=/ca"}
	environ := slices.Concat([]string{"DATABASE_URL=postgres://postgres:secret@db", "PGPASSWORD=secret", "RELAY_OPEN_GATE=ack"}, rest)
	if got := Inherited(environ); !slices.Equal(got, rest) {
		t.Errorf("inherited %q, want %q", got, rest)
	}
}
