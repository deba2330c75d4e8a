package e2e

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// kills is how many processes die. Half of them are the relay's.
const kills = 32

// TestKillsOfAllProgramsUnderLoad_I4_I8 ends random programs with SIGKILL at random moments: three of four times when they
// are at work, the fourth as soon as their process is there, so that starts and recoveries are hit too.
func TestKillsOfAllProgramsUnderLoad_I4_I8(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	dice := p.dice()
	relay := p.relay("relay")
	projectors := []*program{
		p.projector("projector-1", "PROJECTOR_INSTANCE=1"), p.projector("projector-2", "PROJECTOR_INSTANCE=2", "MEMBERS=2"),
	}
	traffic := p.traffic(60)
	p.flowing(100)
	others := []*program{projectors[0], projectors[1], traffic}
	claims := p.claims()
	for n := range kills {
		victim := relay
		if n%2 == 1 {
			victim = others[dice.IntN(len(others))]
		}
		if dice.IntN(4) > 0 {
			p.until(victim.name+" works again", victim.ready)
			moment := p.written() + dice.Int64N(100)
			p.until("more events are written", func() bool { return p.written() >= moment })
		}
		victim.kill()
		victim.start()
	}
	const enough = 2000 // events: how many there are by now is the dice's choice
	p.flowing(200)
	p.until("enough events are written", func() bool { return p.written() >= enough })

	p.settle(traffic, enough)
	died := 0
	for _, g := range p.programs {
		died += len(g.pids) - 1
		t.Logf("%s had %d processes", g.name, len(g.pids))
	}
	if died < kills {
		t.Errorf("%d processes died, want %d", died, kills)
	}
	aborted, skipped := p.aborted(), relay.total(relaySkipped)
	t.Logf("%d transactions broken off with %d records, at least %v read again and dropped", aborted.Transactions, aborted.Records, skipped)
	if aborted.Transactions+int64(skipped) == 0 {
		t.Error("no kill of the relay was felt")
	}
	if got := p.claims(); got <= claims {
		t.Errorf("%d claims after the kills, %d before them: no projector's death was felt", got, claims)
	}
	for _, g := range projectors {
		if got := g.total(projectorTwice); got != 0 {
			t.Errorf("%s: %v events came a second time", g.name, got)
		}
	}
}
