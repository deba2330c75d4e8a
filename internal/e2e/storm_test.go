package e2e

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
)

// TestARebalanceStormOfOneFiveAndTwoMembers_I8 has one projector, four more at once, and then two: one of the others is told to end, one is
// killed, and one is killed inside a transaction, all at once; and then five and two again. When the four come, the first projector has batches in hand of partitions
// that it has to give up. A member that began anywhere else than at its claim's offset, as at the group's copy of it, would apply
// events twice.
func TestARebalanceStormOfOneFiveAndTwoMembers_I8(t *testing.T) {
	t.Parallel()
	const (
		partitions = 10
		kept       = partitions / 5 // by the first projector when there are five
		storms     = 2
	)
	h := endanger(t, danger{projectors: 2, partitions: partitions, settings: patiently})
	h.relay("relay")
	first := h.far(0)
	others := []*program{h.member(1), h.member(2), h.member(3), h.member(4)}
	traffic := h.traffic(40)
	for range storms {
		h.flowing(100)
		before := h.claims()
		var hands []*pgproxy.Hold
		for range kept + 1 {
			hands = append(hands, h.proxies[0].Hold(pgproxy.Request, writes))
		}
		for _, hand := range hands {
			h.held(hand)
		}
		given := len(first.lines("partitions given up"))
		for _, g := range others {
			if !g.wanted {
				g.start()
			}
		}
		h.until("the first projector is to give partitions up", func() bool { return len(first.lines("partitions given up")) > given })
		for _, hand := range hands {
			hand.Release()
			h.committed(hand)
		}
		h.until("each of five projectors has a share", func() bool { return shared(partitions, append(others, first)...) })
		if got := h.claims() - before; got < partitions/2 {
			t.Errorf("%d claims as members came, want at least %d: hardly a partition has moved", got, partitions/2)
		}

		h.flowing(100)
		before = h.claims()
		inside := h.held(h.proxies[1].Hold(pgproxy.Commit, writes))
		others[0].kill()
		others[1].kill()
		others[2].stop()
		inside.Cut()
		h.until("two projectors have all", func() bool { return shared(partitions, first, others[3]) })
		if got := h.claims() - before; got < partitions/2 {
			t.Errorf("%d claims as members went, want at least %d", got, partitions/2)
		}
	}
	fenced := 0.0
	for _, g := range append(others, first) {
		fenced += g.total(projectorFenced)
		if got := g.total(projectorTwice); got != 0 {
			t.Errorf("%s: %v events came a second time", g.name, got)
		}
	}
	t.Logf("%d claims of %d partitions, %v batches fenced", h.claims(), partitions, fenced)
	h.holds(traffic, 1000)
}

// shared says whether each of the projectors has some of the partitions, and all of them together all.
func shared(partitions float64, among ...*program) bool {
	for _, g := range among {
		if assigned(g) == 0 {
			return false
		}
	}
	return assigned(among...) == partitions
}

// client returns a client of the broker's, which ends with the test.
func (p *pipeline) client(opts ...kgo.Opt) *kgo.Client {
	p.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(p.brokers))...)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(client.Close)
	return client
}

func (p *pipeline) admin() *kadm.Client { return kadm.NewClient(p.client()) }
