package bench

import (
	"context"
	"fmt"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
)

// Verdict is what the audit says of a topic and a read model that was made of it. It must hold, or the figures are void.
type Verdict struct {
	Verdict    audit.Verdict `json:"verdict"`
	Events     int64         `json:"events"`  // that were published
	Applied    int64         `json:"applied"` // that the read model reflects
	Missing    int64         `json:"missing"` // from here on: of the topic
	Duplicates int64         `json:"duplicates"`
	Extra      int64         `json:"extra"`
	OutOfOrder int64         `json:"out_of_order"`
	Altered    int64         `json:"altered"`
	Rows       int64         `json:"rows"`       // of the read model
	WrongRows  int64         `json:"wrong_rows"` // that differ, are missing, or that nothing accounts for

	Findings []string `json:"findings,omitempty"` // the first of them, and why the audit is undecided if it is
}

// Clean says whether all events are applied, and nothing was found.
func (v Verdict) Clean() bool { return v.Verdict == audit.Holds && v.Applied == v.Events }

// judge lets the audit judge a read model. The stage's source must be there.
func (m *readModel) judge(ctx context.Context) (Verdict, error) {
	st := m.stage
	st.Progress("checking what was published and applied")
	r, err := audit.Run(ctx, audit.Config{
		OrdersURL: st.urlOf(st.names.OrdersDB), ReadModelURL: st.urlOf(m.name),
		Brokers: broker.Seeds(st.Brokers), Topic: st.names.Topic, Timeout: patience, Offenders: mostFindings,
	})
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{
		Verdict: r.Verdict, Events: st.told, Applied: r.ReadModel.Applied,
		Missing: r.Counts.Missing + r.Counts.Pending, Duplicates: r.Counts.Duplicates, Extra: r.Counts.Extra,
		OutOfOrder: r.Counts.OutOfOrder, Altered: r.Counts.Mismatched + r.Counts.Torn, Findings: r.Undecided,
	}
	for _, t := range r.ReadModel.Tables {
		v.Rows, v.WrongRows = v.Rows+t.Rows, v.WrongRows+t.Wrong
	}
	for _, o := range r.Offenders {
		v.Findings = append(v.Findings, o.String())
	}
	return v, nil
}

// lines say what was found, zeros included.
func (v Verdict) lines(name string) []string {
	lines := []string{
		fmt.Sprintf("%s: %s of %s events applied; the audit: %s", name, grouped(v.Applied), grouped(v.Events), v.Verdict),
		fmt.Sprintf("  topic: missing %s, duplicates %s, extra %s, out of order %s, altered %s", grouped(v.Missing),
			grouped(v.Duplicates), grouped(v.Extra), grouped(v.OutOfOrder), grouped(v.Altered)),
		fmt.Sprintf("  read model: wrong %s of %s rows", grouped(v.WrongRows), grouped(v.Rows)),
	}
	for _, finding := range v.Findings {
		lines = append(lines, "  "+finding)
	}
	if !v.Clean() {
		lines = append(lines, "  THE FIGURES ARE VOID")
	}
	return lines
}
