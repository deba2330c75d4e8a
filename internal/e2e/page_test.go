package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/browser"
)

// TestThePageShowsARelayDieAndADuplicateThatIsPlanted is what somebody does who wants to see for himself. With SCREENSHOTS=DIR it leaves
// the pictures there.
func TestThePageShowsARelayDieAndADuplicateThatIsPlanted(t *testing.T) {
	t.Parallel()
	b := browser.Start(t)
	p := setup(t, testenv.Broker(t))
	relay := p.relay("relay")
	p.projector("projector-1", "PROJECTOR_INSTANCE=1")
	p.projector("projector-2", "PROJECTOR_INSTANCE=2")
	api := p.traffic(10)
	console := p.console(relay, api)
	p.flowing(200)
	p.until("the console answers", console.ready)
	page := b.Open(console.url(), browser.Desk)
	page.Shows("verdict-state", "In sync")
	page.Until(`Number(document.querySelector('[data-testid="count-outbox"]').textContent.replaceAll(",", "")) > 100`)

	// On a machine that does other things too, the best of some kills says how quick the page is.
	const quick, tries = 2 * time.Second, 5
	for try := 1; ; try++ {
		relay.kill()
		killed := time.Now()
		page.Shows("verdict-state", "Relay down")
		took := time.Since(killed)
		t.Logf("relay killed: the strip says so after %v", took.Round(10*time.Millisecond))
		page.Until(`Number(document.querySelector('[data-testid="pending"]').textContent.replaceAll(",", "")) > 0`)
		page.Shows("verdict-text", "safe in the outbox")
		picture(t, page, "relay-down")
		restarted := time.Now()
		relay.start()
		page.Shows("verdict-state", "Relay is back")
		page.Until(`Number(document.querySelector('[data-testid="pending"]').textContent.replaceAll(",", "")) < 20`)
		t.Logf("started again: drained after %v", time.Since(restarted).Round(10*time.Millisecond))
		page.Shows("verdict-state", "In sync")
		if took <= quick {
			break
		}
		if try == tries {
			t.Fatalf("the page was never within %v of the kill", quick)
		}
	}
	for _, zero := range []string{"duplicates", "missing", "holes", "foreign", "mismatched", "not-applied"} {
		page.Reads(zero, "0")
	}
	page.Click(`#orders tr:nth-child(2) button`)
	page.Shows("order-events", "placed")
	page.Click(`#order-close`)
	picture(t, page, "in-sync")

	p.plantDuplicate()
	planted := time.Now()
	page.Shows("verdict-state", "Mismatch")
	took := time.Since(planted)
	t.Logf("a duplicate planted: the strip is red after %v", took.Round(10*time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("it took the page %v to turn red, want 5 s at most", took)
	}
	page.Shows("findings", "is in the topic already")
	picture(t, page, "mismatch")
}

// console names a console of the pipeline and starts it.
func (p *pipeline) console(relay, api *program) *program {
	p.Helper()
	return p.program("console", "foodctl", "CONSOLE_LISTEN", []string{"console"},
		"FOODCTL_RELAYS_AT=relay="+relay.address, "FOODCTL_ORDERSERVICE_AT="+api.address,
		"FOODCTL_PROJECTORS_AT="+p.programs[1].address+","+p.programs[2].address).start()
}

// plantDuplicate puts a record of the topic into it once more.
func (p *pipeline) plantDuplicate() {
	p.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers), kgo.ConsumeTopics(p.topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	fetches := client.PollFetches(p.Context())
	if err := fetches.Err(); err != nil {
		p.Fatal(err)
	}
	r := fetches.Records()[0]
	again := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
	if err := client.ProduceSync(p.Context(), again).FirstErr(); err != nil {
		p.Fatal(err)
	}
}

func picture(t *testing.T, page *browser.Tab, name string) {
	t.Helper()
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		page.Shoot(filepath.Join(dir, name+".png"))
	}
}
