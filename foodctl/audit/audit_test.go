package audit_test

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
)

func TestHoldsForAPipelineThatDidItsWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withModel().withSlot()
	for range 3 {
		w.live(16)
		w.publish(w.unpublished())
	}
	w.project()
	r := w.audit()
	show(t, r)
	if r.Verdict != audit.Holds {
		t.Fatalf("verdict = %s, want %s", r.Verdict, audit.Holds)
	}
	if r.Source.Events == 0 || r.Topic.Unique != r.Source.Events || r.ReadModel.Applied != r.Source.Events || r.Source.Orders != 48 {
		t.Errorf("source = %+v, topic unique = %d, applied = %d, want all events in all of them",
			r.Source, r.Topic.Unique, r.ReadModel.Applied)
	}
	for _, table := range append(r.ReadModel.Tables, r.Orders) {
		if table.Rows == 0 || table.Wrong != 0 {
			t.Errorf("%s has %d rows, %d wrong: want some and none", table.Name, table.Rows, table.Wrong)
		}
	}
	if !r.Checkpoint.Checked || r.Checkpoint.Position == 0 {
		t.Errorf("checkpoint = %+v, want it checked", r.Checkpoint)
	}
}
