package audit_test

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
)

// Traffic flows through all stages while the audit looks at one after the other. Every audit must come out clean, and
// some must have seen events that were committed after their cut.
func TestHoldsWhileTrafficFlows(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel().withSlot()
	reports, failed := make(chan audit.Report, 4), make(chan error, 1)
	go func() {
		defer close(reports)
		for range cap(reports) {
			r, err := audit.Run(t.Context(), w.cfg)
			if err != nil {
				failed <- err
				return
			}
			reports <- r
		}
	}()
	var beyond int64
	for audited := false; !audited; {
		w.live(4)
		w.publish(w.unpublished())
		w.live(4) // in the outbox, not in the topic
		w.project()
		w.publish(w.unpublished())
		for ready := true; ready; {
			select {
			case r, more := <-reports:
				if audited, ready = !more, more; !more {
					break
				}
				beyond += r.Topic.BeyondCut
				if r.Verdict != audit.Holds {
					show(t, r)
					t.Errorf("verdict = %s, want holds", r.Verdict)
				}
			default:
				ready = false
			}
		}
	}
	select {
	case err := <-failed:
		t.Error(err)
	default:
	}
	if beyond == 0 {
		t.Error("no audit saw an event from after its cut: there was no traffic")
	}
}
