package e2e

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// TestACommitThatIsNotAnsweredIsFoundOut_I8 breaks connections around a batch's COMMIT: before it arrives, with all rows written, behind it
// with the answer lost, and while it is still on its way, so that it is carried out behind the back of a projector that has connected
// again. Taken for committed, the first two would be left out; taken for not committed, the others would be applied again, and fenced
// for it: the partition would stand still until the group has been joined anew. So no claim may be made, and no batch be fenced.
func TestACommitThatIsNotAnsweredIsFoundOut_I8(t *testing.T) {
	t.Parallel()
	h := endanger(t, danger{projectors: 2, settings: patiently})
	h.relay("relay")
	projectors := []*program{h.far(0, staying), h.far(1, staying)}
	traffic := h.traffic(40)
	h.until("both have a share", func() bool { return shared(topic.Partitions, projectors...) })
	h.flowing(100)
	claims := h.claims()
	for round := range 2 {
		for n, proxy := range h.proxies {
			for _, lost := range []pgproxy.Point{pgproxy.Request, pgproxy.Commit, pgproxy.Answer} {
				at := proxy.Hold(lost, writes)
				at.Cut()
				h.held(at)
				h.flowing(20)
			}
			late := proxy.Hold(pgproxy.Request, writes)
			late.CutClient()
			h.held(late)
			h.blocks(late) // by the look at the outcome
			late.Release()
			h.committed(late)
			h.flowing(20)
			if got := len(projectors[n].lines("batch not applied, trying again")); got < 4*(round+1) {
				t.Errorf("%s met %d broken batches, want at least %d", projectors[n].name, got, 4*(round+1))
			}
		}
	}
	for _, g := range projectors {
		for _, name := range []string{projectorFenced, projectorTwice} {
			if got := g.metric(name); got != 0 {
				t.Errorf("%s: %s is %v, want 0", g.name, name, got)
			}
		}
	}
	if got := h.claims(); got != claims {
		t.Errorf("%d claims, %d before the faults: an outcome was not found out", got, claims)
	}
	h.holds(traffic, 500)
}
