package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// marks stand out by their case: nobody has to search a long report for what is wrong.
var marks = map[Verdict]string{OK: "ok", Warning: "WARNING", Wrong: "WRONG", Unknown: "UNKNOWN"}

// Write prints the report for a reader: a line for each check, what mends it below, and a summary.
func (r Report) Write(w io.Writer) {
	system := ""
	count := make(map[Verdict]int)
	for _, f := range r.Findings {
		if f.System != system {
			system = f.System
			fmt.Fprintln(w, system)
		}
		count[f.Verdict]++
		fmt.Fprintf(w, "  %-8s %s: %s\n", marks[f.Verdict], f.Check, f.Found)
		for _, step := range f.Remedy {
			fmt.Fprintf(w, "  %-8s   %s\n", "", step)
		}
	}
	fmt.Fprintf(w, "%d ok, %d warnings, %d wrong, %d unknown\n", count[OK], count[Warning], count[Wrong],
		count[Unknown])
}

// WriteJSON prints the report for a program.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		ExitCode int `json:"exit_code"`
		Report
	}{r.ExitCode(), r})
}

// Find returns the finding of a check, or false if it was not made.
func (r Report) Find(system, check string) (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.System == system && f.Check == check })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}
