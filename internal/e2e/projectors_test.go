package e2e

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// assigned is how many of the topic's partitions the projectors consume.
func assigned(projectors ...*program) (sum float64) {
	for _, g := range projectors {
		sum += g.metric(projectorClaimed)
	}
	return sum
}

// TestProjectorsComeAndGoUnderTraffic_I8 has one, three, two and again one with three members, by kills and without a
// name that would give a new process its predecessor's partitions.
func TestProjectorsComeAndGoUnderTraffic_I8(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	p.relay("relay")
	first := p.projector("first")
	traffic := p.traffic(50)
	p.flowing(100)

	second, third := p.projector("second"), p.projector("third")
	p.until("three projectors share the partitions", func() bool {
		return assigned(first) == 1 && assigned(second) == 1 && assigned(third) == 1
	})
	p.flowing(200)

	before := p.claims()
	first.kill()
	p.until("two projectors have the partitions", func() bool { return assigned(second, third) == 3 })
	p.flowing(200)
	if got := p.claims(); got <= before {
		t.Errorf("%d claims after a kill, %d before it: nobody took over", got, before)
	}

	second.kill()
	members := p.projector("members", "MEMBERS=3")
	p.flowing(100)
	third.kill()
	p.until("the members of one process have the partitions", func() bool { return assigned(members) == 3 })
	p.flowing(200)

	p.settle(traffic, 1000)
	if got := members.metric(projectorTwice); got != 0 {
		t.Errorf("%v events came a second time", got)
	}
	if got := members.metric(projectorJoined); got < 3 {
		t.Errorf("%v sessions of three members", got)
	}
}
