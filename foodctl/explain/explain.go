// Package explain says where each guarantee of the pipeline is kept: what is promised, how, in which code, which test fails
// when it is broken, and how to see it for oneself.
//
// It promises that every file, symbol and test that it names exists, and that each claim is the one of docs/design.md: its
// own test reads the repository.
package explain

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Base is where the paths are, for links.
const Base = "https://github.com/adamkwhite/kafkafoodpipeline/blob/main/"

// Guarantee is an invariant, and where it is kept.
type Guarantee struct {
	Name   string   // "I1"
	Claim  string   // what holds
	Breaks string   // what would happen if it did not
	How    string   // how it is kept, in a few sentences
	Code   []Place  // the code that keeps it
	Tests  []Place  // tests that fail if it does not
	Try    []string // commands
	Words  string   // what else somebody may look for it by
}

// Place is something in a file of the repository: a Go symbol, "Type.method" for a method, or in other files a text.
type Place struct {
	Path   string
	Symbol string
	What   string // what it does; of a test nothing, since its name says it
}

// URL is a link to the file.
func (p Place) URL() string { return Base + p.Path }

// Command runs the test.
func (p Place) Command() string {
	return fmt.Sprintf("go test -run '^%s$' ./%s", p.Symbol, path.Dir(p.Path))
}

// All are the guarantees, in their order.
func All() []Guarantee {
	all := slices.Concat(orders, relay, readModel)
	slices.SortFunc(all, func(a, b Guarantee) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Find returns the guarantee of that name, or those that all the words occur in.
func Find(words ...string) []Guarantee {
	all := All()
	if len(words) == 1 {
		i := slices.IndexFunc(all, func(g Guarantee) bool { return strings.EqualFold(g.Name, words[0]) })
		if i >= 0 {
			return all[i : i+1]
		}
	}
	return slices.DeleteFunc(all, func(g Guarantee) bool { return !g.has(words) })
}

// has says whether all of the words occur in what is said of the guarantee.
func (g Guarantee) has(words []string) bool {
	said := []string{g.Name, g.Claim, g.Breaks, g.How, g.Words}
	for _, p := range slices.Concat(g.Code, g.Tests) {
		said = append(said, p.Path, p.Symbol, p.What)
	}
	text := strings.ToLower(strings.Join(strings.Fields(strings.Join(said, " ")), " "))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, strings.ToLower(w)) })
}
