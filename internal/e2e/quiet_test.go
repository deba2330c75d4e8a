package e2e

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestAHundredOrdersWithoutAFaultAreWithoutAnError(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.Broker(t))
	relay, projector := p.relay("relay"), p.projector("projector")
	orders := p.orderservice("GENERATE=true", "RATE=50", "ORDERS=100")
	p.until("all orders are finished", func() bool { return orders.metric("generator_done") == 1 })
	if got := orders.metric(generatorErrors); got != 0 {
		t.Errorf("the generator met %v errors", got)
	}
	if r := p.settle(orders, 500); r.Source.Orders != 100 {
		t.Errorf("got %d orders, want 100", r.Source.Orders)
	}
	if got := relay.metric(relaySessions); got != 1 {
		t.Errorf("the relay began %v times, want once", got)
	}
	for _, name := range []string{projectorTwice, projectorFenced} {
		if got := projector.metric(name); got != 0 {
			t.Errorf("%s is %v, want 0", name, got)
		}
	}
	projector.stop()
	relay.stop()
	for _, g := range p.programs {
		if len(g.pids) != 1 {
			t.Errorf("%s had processes %v, want one", g.name, g.pids)
		}
		for _, line := range g.lines("level=WARN", "level=ERROR", "error:") {
			t.Errorf("%s: %s", g.name, line)
		}
	}
}
