package audit_test

import (
	"maps"
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

// The read model goes to and fro between two states, each of them right, as fast as it can. An audit that put one
// together from pieces of both would find faults that are not there.
func TestComparesOneSnapshotOfTheReadModel_I8(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel()
	w.live(8)
	w.publish(w.unpublished())
	first := maps.Clone(w.moved)
	w.live(8)
	w.publish(w.unpublished())
	both := w.moved
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 10 {
			if r, err := audit.Run(t.Context(), w.cfg); err != nil || r.Verdict != audit.Holds {
				show(t, r)
				t.Errorf("verdict %s, %v, want holds", r.Verdict, err)
				return
			}
		}
	}()
	for {
		select {
		case <-ended:
			return
		default:
		}
		w.moved = first
		w.project()
		w.moved = both
		w.project()
	}
}
