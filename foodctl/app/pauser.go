package app

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// pauser pauses the relay that publishes, and sees who publishes then.
type pauser struct {
	*session

	c       *pauseCmd
	pauses  pauseCounts // what strike has counted
	counted pauseToll   // written by toll
}

// pauseCounts are what was seen of the pauses while they lasted and thereafter.
type pauseCounts struct {
	Pauses    int `json:"pauses"`
	Takeovers int `json:"takeovers"` // after which the woken relay stood by
}

// pauseToll is what the pauses came to.
type pauseToll struct {
	pauseCounts
	Fenced  int64 `json:"fenced_transactions"`  // of woken relays, which were told by Kafka
	Unended int64 `json:"unended_transactions"` // of woken relays, which had heard before that they were too late
	toll
}

func (p *pauser) strike(ctx context.Context) error {
	transactions, err := broker.OpenTransactions(ctx, p.Brokers())
	if err != nil {
		return err
	}
	defer transactions.Close()
	for range p.c.Times {
		if err := ops.Sleep(ctx, p.c.Every+rand.N(p.c.Every/4+1)); err != nil { // not a secret
			return err
		}
		if err := p.pause(ctx, transactions); err != nil {
			return err
		}
	}
	return nil
}

// pause pauses the relay that publishes and waits until one publishes again.
func (p *pauser) pause(ctx context.Context, transactions *broker.Transactions) error {
	victim, err := p.publisher(ctx)
	if err != nil {
		return err
	}
	p.awaitTransaction(ctx, transactions) // a moment between two would leave nothing half done
	pid := victim.Pid()
	p.screen.Notice("kill -STOP %d (%s), for %s", pid, victim.Name(), p.c.For)
	if err := p.Pause(ctx, victim.Name(), p.c.For); err != nil {
		return err
	}
	p.screen.Notice("kill -CONT %d (%s)", pid, victim.Name())
	p.pauses.Pauses++
	now, err := p.publisher(ctx)
	if err == nil && now != victim {
		p.pauses.Takeovers++
	}
	return err
}

// transactionsMetric counts a relay's Kafka transactions by their result.
const transactionsMetric = "relay_transactions_total"

func (p *pauser) toll(ctx context.Context) (fmt.Stringer, error) {
	common, err := p.takeToll(ctx, 0)
	ended := func(result string) int64 {
		return int64(p.relaysSum(ctx, func(m status.Metrics) float64 { return m.Value(transactionsMetric, "result", result) }))
	}
	p.counted = pauseToll{pauseCounts: p.pauses, Fenced: ended("fenced"), Unended: ended("unknown"), toll: common}
	return p.counted, err
}

// String is a few lines.
func (t pauseToll) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d pauses: another relay took over from %d, and the woken one stood by\n", t.Pauses, t.Takeovers)
	fmt.Fprintf(&b, "%d transactions of woken relays were fenced by Kafka, %d given up before it came to that\n", t.Fenced, t.Unended)
	return b.String() + t.toll.String()
}

func (p *pauser) judge(r audit.Report) error {
	return proven(r, p.counted.Takeovers > 0, "no pause was felt: no other relay took over, so this proves nothing; try a longer --for")
}
