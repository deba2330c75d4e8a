package e2e

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestRecoverKilledOverAndOverFillsTheTopicOnce_I4_I7 loses the slot when the topic has half of the table, and kills relay
// recover at random moments while it loads the other half. The relay must refuse to run before, and end in zeros after.
func TestRecoverKilledOverAndOverFillsTheTopicOnce_I4_I7(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	dice := p.dice()
	relay := p.relay("relay")
	p.projector("projector")
	orders := p.orderservice("GENERATE=true", "RATE=0", "WRITERS=8", "ORDERS=400", "RUN=first")
	p.until("half of the table is written", func() bool { return orders.metric("generator_done") == 1 })
	orders.stop()
	half := p.written()
	p.until("the topic has it", func() bool { return p.applied() == half })
	relay.stop()
	rest := p.orderservice("GENERATE=true", "RATE=0", "WRITERS=8", "ORDERS=1500", "RUN=second")
	p.until("the other half is written", func() bool { return rest.metric("generator_done") == 1 })
	rest.stop()
	p.dropSlot()
	p.refused(relay)

	loading := p.program("recover", "relay", "RELAY_LISTEN", []string{"recover", "--reason=the slot was dropped"})
	inside := p.killInside(loading, dice)
	anywhere := p.killAnywhere(loading, dice)
	loading.start()
	loading.wanted = false
	p.until("recover ends", loading.ended)

	relay.start()
	traffic := p.traffic(50)
	p.flowing(200)
	p.settle(traffic, half+10_000)
	aborted := p.aborted()
	t.Logf("%d loads killed while they wrote, %d at any moment; %d transactions broken off, with %d records",
		inside, anywhere, aborted.Transactions, aborted.Records)
	if inside < 2 || aborted.Transactions == 0 {
		t.Error("the kills were hardly felt")
	}
}

// killInside kills loads when they have written so and so many records, until enough have died or one was quicker, and
// returns how many died.
func (p *pipeline) killInside(loading *program, dice *rand.Rand) (killed int) {
	p.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers))
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	end := func() (sum int64) { // transactions that are open included
		offsets, err := admin.ListEndOffsets(p.Context(), p.topic)
		if err != nil {
			p.Fatal(err)
		}
		offsets.Each(func(o kadm.ListedOffset) { sum += o.Offset })
		return sum
	}
	for killed < 6 {
		target := end() + 1 + dice.Int64N(3000)
		loading.start()
		loading.wanted = false // its end is no failure
		for end() < target {
			if loading.ended() {
				p.dropSlot()
				return killed
			}
		}
		if !loading.ended() {
			killed++
		}
		loading.kill()
	}
	return killed
}

// killAnywhere kills loads after random times, and returns how many died. How long a load takes is not known, so each
// that ends before its kill halves the time for the next.
func (p *pipeline) killAnywhere(loading *program, dice *rand.Rand) (killed int) {
	p.Helper()
	ended := 0
	for most := time.Second; killed < 6 && ended < 20; {
		loading.start()
		loading.wanted = false
		select {
		case <-time.After(time.Duration(dice.Int64N(int64(most)))):
			loading.kill()
			killed++
		case <-loading.process.Done():
			loading.ended()
			ended++
			most = max(most/2, 100*time.Millisecond)
			p.dropSlot()
		}
	}
	return killed
}

// ended says whether a load is over, which it must be with exit code 0.
func (g *program) ended() bool {
	g.Helper()
	select {
	case <-g.process.Done():
	default:
		return false
	}
	if err := g.process.Wait(); err != nil {
		g.Fatalf("%s: %v: %s", g.name, err, g.lastLine())
	}
	return true
}

// dropSlot takes the relay's slot away, when nobody uses it.
func (p *pipeline) dropSlot() {
	p.Helper()
	p.until("the slot is dropped", func() bool {
		_, err := p.orders.Exec(p.Context(), "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", p.slot)
		return err == nil
	})
}

// refused runs a relay that must end with the exit code of a closed gate.
func (p *pipeline) refused(relay *program) {
	p.Helper()
	relay.start()
	relay.wanted = false
	select {
	case <-relay.process.Done():
	case <-time.After(patience):
		relay.signal(syscall.SIGKILL)
		p.Fatal("the relay runs without its slot")
	}
	if err := relay.process.Wait(); exitCode(err) != 3 || !strings.Contains(relay.lastLine(), "relay recover") {
		p.Fatalf("without its slot the relay ended with %v: %s; want exit code 3 and the remedy", err, relay.lastLine())
	}
}
