package explain

import (
	"fmt"
	"io"
	"strings"
)

// Table prints the guarantees, a few lines each.
func Table(w io.Writer, guarantees []Guarantee) error {
	var b strings.Builder
	for _, g := range guarantees {
		fmt.Fprintf(&b, "%-4s %s\n     kept in %s; else: %s\n", g.Name, wrap(g.Claim, "     "), g.Code[0].short(), g.Breaks)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Write prints all that there is to say of the guarantee.
func (g Guarantee) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\nIf not: %s.\n\n%s\n\nIn the code:\n", g.Name, wrap(g.Claim, "    "), g.Breaks, wrap(g.How, ""))
	for _, p := range g.Code {
		fmt.Fprintf(&b, "  %s: %s\n    %s\n", p.short(), p.What, p.URL())
	}
	b.WriteString("\nTests that fail if it is broken, to be run in the repository:\n")
	for _, p := range g.Tests {
		fmt.Fprintf(&b, "  %s\n", p.Command())
	}
	b.WriteString("\nTry it, beside foodctl up unless it says otherwise:\n")
	for _, command := range g.Try {
		fmt.Fprintf(&b, "  %s\n", command)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// short is the place as path:symbol.
func (p Place) short() string { return p.Path + ":" + p.Symbol }

// wrap breaks a text into lines, all but the first of which are indented.
func wrap(text, indent string) string {
	const width = 110
	var b strings.Builder
	n := len(indent)
	for i, word := range strings.Fields(text) {
		switch {
		case i > 0 && n+1+len(word) > width:
			b.WriteString("\n" + indent)
			n = len(indent)
		case i > 0:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String()
}
