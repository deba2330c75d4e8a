package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// settle stops the traffic, waits until all of it has arrived, and audits: five zeros, and at least so many events.
func (p *pipeline) settle(traffic *program, least int64) audit.Report {
	p.Helper()
	traffic.stop()
	written := p.written()
	p.until("everything has arrived", func() bool { return p.applied() == written })
	return p.verify(least)
}

// verify runs foodctl verify, which must find that everything holds.
func (p *pipeline) verify(least int64) audit.Report {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Build(p, "foodctl"), "verify", "--json", "--timeout=60s")
	cmd.Env = append(os.Environ(), p.env()...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var r audit.Report
	if malformed := json.Unmarshal(out.Bytes(), &r); err != nil || malformed != nil {
		p.Fatalf("foodctl verify: %v, %v; it said\n%s%s", err, malformed, out.String(), errs.String())
	}
	if r.Verdict != audit.Holds || r.Counts != (audit.Counts{}) || r.Findings != 0 {
		p.Errorf("verdict %s, counts %+v, want zeros:\n%s", r.Verdict, r.Counts, out.String())
	}
	if !r.Checkpoint.Checked || !r.ReadModel.Checked || r.Orders.Rows == 0 {
		p.Errorf("not everything was checked:\n%s", out.String())
	}
	if n := r.Source.Events; n < least || r.Topic.Unique != n || r.Topic.Records != n || r.ReadModel.Applied != n {
		p.Errorf("source %d, topic %d, read model %d events: want the same of all, and at least %d",
			n, r.Topic.Records, r.ReadModel.Applied, least)
	}
	p.Logf("verified %d events of %d orders in %s", r.Source.Events, r.Source.Orders, r.Took)
	return r
}
