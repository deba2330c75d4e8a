package app

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// killer kills programs and counts what came of it.
type killer struct {
	*session

	times int
	every time.Duration
	all   bool
	dice  *rand.Rand

	kills kills
	// reread adds up what each killed process of a relay had dropped as known already. What it dropped after its last
	// scrape is not in it, so the true number may be higher.
	reread float64
	felt   bool // written by toll
}

func newKiller(s *session, c *killCmd) *killer {
	return &killer{session: s, times: c.Times, every: c.Every, all: c.All, dice: rand.New(rand.NewPCG(c.Seed, 0)), // repeatable
		kills: make(kills)}
}

func (k *killer) strike(ctx context.Context) error {
	transactions, err := broker.OpenTransactions(ctx, k.Brokers())
	if err != nil {
		return err
	}
	defer transactions.Close()
	next := time.Now()
	for i := range k.times {
		victim := k.victim(i)
		// Three of four victims are at work when it hits them: a relay mostly within a transaction, as a moment between
		// two would be felt by nobody, the others at any moment. The fourth is hit as soon as its process is there,
		// mostly while it is still starting.
		fourth := k.dice.IntN(4)
		working := fourth > 0
		moment := rand.N(k.every/4 + 1) // not a secret, and no seed could repeat a race
		if err := ops.Sleep(ctx, time.Until(next.Add(moment))); err != nil {
			return err
		}
		if err := k.await(ctx, victim, working); err != nil {
			return err
		}
		if slices.Contains(k.Relays, victim) {
			k.reread += k.scrape(ctx, victim) // its counters go with it
			if fourth > 1 {
				k.awaitTransaction(ctx, transactions)
			}
		}
		if err := k.kills.kill(k.session, victim); err != nil {
			return err
		}
		next = next.Add(k.every)
	}
	return nil
}

// victim takes the relay every time, or with all every second time and the others in turn.
func (k *killer) victim(i int) *stack.Program {
	relay := k.Relays[i%len(k.Relays)]
	if !k.all || i%2 == 0 {
		return relay
	}
	others := append([]*stack.Program{k.OrderService}, k.Projectors...)
	return others[i/2%len(others)]
}

// comeback is how long a program may take to be at work again.
const comeback = 60 * time.Second

// await waits until the program's process is there and, if it is to be at work, until it says that it is ready.
func (s *session) await(ctx context.Context, p *stack.Program, working bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, comeback, fmt.Errorf("%s was not back %s after it was killed; its log is %s", p.Name(), comeback, p.Log))
	defer cancel()
	for p.Pid() == 0 || (working && !status.Ready(ctx, p.URL)) {
		if err := s.soon(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitTransaction waits, not for long, until the relay has a transaction open.
func (s *session) awaitTransaction(ctx context.Context, t *broker.Transactions) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	t.Await(ctx, "."+s.names.Slot)
}

// scrape reads what a relay has dropped as known, 0 if it does not answer.
func (k *killer) scrape(ctx context.Context, relay *stack.Program) float64 {
	m, err := status.Scrape(ctx, relay.URL)
	if err != nil {
		return 0
	}
	return m.Sum(rereadMetric)
}

// kills counts them by program.
type kills map[string]int

// kill kills a program and tells of it.
func (k kills) kill(s *session, p *stack.Program) error {
	pid, err := s.Kill(p.Name())
	if err != nil {
		return err
	}
	k[p.Name()]++
	s.screen.Notice("kill -9 %d (%s)", pid, p.Name())
	return nil
}

// String is a line.
func (k kills) String() string {
	total := 0
	var each []string
	for _, name := range slices.Sorted(maps.Keys(k)) {
		total += k[name]
		each = append(each, fmt.Sprintf("%s %d", name, k[name]))
	}
	return fmt.Sprintf("%d kills: %s\n", total, strings.Join(each, ", "))
}

// killToll is what the kills came to.
type killToll struct {
	Kills kills `json:"kills"`
	toll
}

// String is a few lines.
func (t killToll) String() string { return t.Kills.String() + t.toll.String() }

func (k *killer) toll(ctx context.Context) (fmt.Stringer, error) {
	t, err := k.takeToll(ctx, k.reread)
	k.felt = t.AbortedTransactions+t.Reread > 0
	return killToll{k.kills, t}, err
}

func (k *killer) judge(r audit.Report) error {
	return proven(r, k.felt, "no kill was felt: no Kafka transaction was broken off and nothing was read again, "+
		"so this proves nothing; try more --times or a higher --rate")
}
