package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

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

	transactions *broker.Transactions

	kills map[string]int
	// reread adds up what each killed process of a relay had dropped as known already. What it dropped after its last
	// scrape is not in it, so the true number may be higher.
	reread map[string]float64
}

// rereadMetric counts, in one process of the relay, the source transactions that came again after a restart.
const rereadMetric = "relay_recovered_transactions_skipped_total"

func newKiller(s *session, c *killCmd) *killer {
	return &killer{session: s, times: c.Times, every: c.Every, all: c.All, dice: rand.New(rand.NewPCG(c.Seed, 0)), // repeatable
		kills: make(map[string]int), reread: make(map[string]float64)}
}

// run kills as often as it is to, with the status running on.
func (k *killer) run(ctx context.Context) (err error) {
	if k.transactions, err = broker.OpenTransactions(ctx, k.Brokers()); err != nil {
		return err
	}
	defer k.transactions.Close()
	killing, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- k.killAll(killing) }()
	watching := k.watch(ctx, func(context.Context) bool {
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	})
	if watching != nil {
		stop()
		return errors.Join(watching, ignoreCancel(<-ended))
	}
	return err
}

// ignoreCancel drops the error of having been told to stop.
func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (k *killer) killAll(ctx context.Context) error {
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
		k.reread[victim.Name()] += k.scrape(ctx, victim) // its counters go with it
		if fourth > 1 && slices.Contains(k.Relays, victim) {
			k.awaitTransaction(ctx)
		}
		if err := k.kill(victim); err != nil {
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
func (k *killer) await(ctx context.Context, p *stack.Program, working bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, comeback, fmt.Errorf("%s was not back %s after it was killed; its log is %s", p.Name(), comeback, p.Log))
	defer cancel()
	for p.Pid() == 0 || (working && !status.Ready(ctx, p.URL)) {
		if err := ops.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// awaitTransaction waits, not for long, until the relay has a transaction open.
func (k *killer) awaitTransaction(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	k.transactions.Await(ctx, "."+k.names.Slot)
}

func (k *killer) kill(p *stack.Program) error {
	pid, err := p.Signal(syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("kill %s: %w", p.Name(), err)
	}
	k.kills[p.Name()]++
	k.screen.Notice("kill -9 %d (%s)", pid, p.Name())
	return nil
}

// scrape reads what a relay has dropped as known, 0 if it is none or does not answer.
func (k *killer) scrape(ctx context.Context, p *stack.Program) float64 {
	if !slices.Contains(k.Relays, p) {
		return 0
	}
	m, err := status.Scrape(ctx, p.URL)
	if err != nil {
		return 0
	}
	return m.Sum(rereadMetric)
}

// felt is what the faults came to.
type felt struct {
	Kills               map[string]int `json:"kills"`
	AbortedTransactions int64          `json:"aborted_transactions"`
	AbortedRecords      int64          `json:"aborted_records"`
	Reread              int64          `json:"source_transactions_reread"`
}

// judge counts what was felt, and audits.
func (k *killer) judge(ctx context.Context) error {
	aborted, err := broker.CountAborted(ctx, k.Brokers(), k.names.Topic)
	if err != nil {
		return err
	}
	f := felt{Kills: k.kills, AbortedTransactions: aborted.Transactions, AbortedRecords: aborted.Records}
	for _, p := range k.Relays {
		f.Reread += int64(k.reread[p.Name()] + k.scrape(ctx, p))
	}
	k.screen.Object(f)
	k.screen.Text(f.String())
	report, err := k.audit(ctx)
	if err != nil {
		return err
	}
	if err := k.show(report); err != nil {
		return err
	}
	if f.AbortedTransactions+f.Reread == 0 {
		return &ops.ExitError{Code: 1, Err: errors.New("no kill was felt: no Kafka transaction was broken off and nothing was read again, " +
			"so this proves nothing; try more --times or a higher --rate")}
	}
	return nil
}

// String is a few lines.
func (f felt) String() string {
	var b strings.Builder
	total := 0
	var each []string
	for _, name := range slices.Sorted(maps.Keys(f.Kills)) {
		total += f.Kills[name]
		each = append(each, fmt.Sprintf("%s %d", name, f.Kills[name]))
	}
	fmt.Fprintf(&b, "%d kills: %s\n", total, strings.Join(each, ", "))
	fmt.Fprintf(&b, "%d Kafka transactions broken off, with %d records that no read_committed reader saw\n", f.AbortedTransactions, f.AbortedRecords)
	fmt.Fprintf(&b, "%d source transactions read again after a restart, and dropped as already published\n", f.Reread)
	return b.String()
}
