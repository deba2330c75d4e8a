package main

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

var named = regexp.MustCompile(`\$([A-Z][A-Z0-9_]*)`)

// TestVariablesAreTheProgramsOwn asks each program for its variables: one that it does not know would be no error, but
// the default.
func TestVariablesAreTheProgramsOwn(t *testing.T) {
	t.Parallel()
	for _, overlay := range overlays {
		ws, err := workloads(objects(t, overlay))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range ws {
			for _, c := range w.pod.Spec.Containers {
				t.Run(overlay+"/"+w.name, func(t *testing.T) {
					t.Parallel()
					help, err := exec.Command(testenv.Build(t, c.Command[0]), slices.Concat(c.Command[1:], c.Args, []string{"--help"})...).Output()
					if err != nil {
						t.Fatal(err)
					}
					known := map[string]bool{"GOMEMLIMIT": true} // Go's own
					for _, match := range named.FindAllStringSubmatch(string(help), -1) {
						known[match[1]] = true
					}
					for _, v := range c.Env {
						if !known[v.Name] {
							t.Errorf("%s has no variable %s", strings.Join(c.Command, " "), v.Name)
						}
					}
				})
			}
		}
	}
}
