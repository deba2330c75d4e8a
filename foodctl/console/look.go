package console

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
)

// looker is what one look leaves for the next.
type looker struct {
	number  int64
	history []sample // of the last minute, the oldest first
	relays  relayWatch
	counts  status.Counts // the last that were complete
	audited error         // what the last look of the audit failed with

	verdict     Verdict
	changed     time.Time // when another relay than before began to publish, or the same one came back
	changedTo   State
	changedText string

	aborted    int64
	owners     map[int32]int64 // epochs, by partition
	brokerDown bool

	analytics   Analytics
	analyticsAt time.Time
	menu        map[int32]string
	currency    string
}

// sample is what rates are made of.
type sample struct {
	at                                  time.Time
	orders, written, published, applied int64
	partitions                          []int64
	log                                 int64 // bytes that Postgres has written to its log
}

// asked are the answers of all places to one look.
type asked struct {
	counts  status.Counts
	slot    Slot
	log     int64
	relays  []Relay
	reread  int64
	members []Member
	orders  newestOrders
	api     bool
	broker  bool
	errs    []error
}

// placeTimeout is how long one place may take to answer one look: the page shall not wait for it with what the others say.
const placeTimeout = 2 * time.Second

// look asks everybody at once, and makes a snapshot of the answers.
func (c *Console) look(ctx context.Context) *Snapshot {
	l := &c.looker
	a := c.ask(ctx)
	l.number++
	running := c.audit.Running()
	s := &Snapshot{
		Number: l.number, At: time.Now(), Trouble: []string{}, Relays: a.relays, Members: a.members, Audit: auditOf(&running),
		Latency: Latency{P50: milliseconds(a.counts.P50), P99: milliseconds(a.counts.P99)},
		Pending: Pending{Events: a.counts.Pending, Unpublished: running.Unpublished}, Marks: []Mark{},
	}
	if !running.Oldest.IsZero() {
		s.Pending.Seconds = max(0, time.Since(running.Oldest).Seconds())
	}
	c.pipe(s, &a)
	s.Slot = l.slotOf(a.slot)
	waiting := c.askOn(ctx, s, &a, &running)
	for _, err := range a.errs {
		s.Trouble = append(s.Trouble, err.Error())
	}
	l.notice(s, &a)
	l.judge(s, c.collector.Ready(), waiting)
	return s
}

// ask asks each place in a goroutine of its own: one that does not answer holds up the others for placeTimeout at most.
func (c *Console) ask(ctx context.Context) (a asked) {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	var mu sync.Mutex // guards a.errs
	var asking sync.WaitGroup
	ask := func(what func() error) {
		asking.Go(func() {
			if err := what(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				a.errs = append(a.errs, err)
			}
		})
	}
	ask(func() (err error) {
		if a.counts, err = c.collector.Read(ctx); err != nil {
			a.counts = c.looker.counts // better old than none
		}
		c.looker.counts = a.counts
		return err
	})
	ask(func() error {
		if c.looker.number%2 == 0 { // the topic is audited as it is read; this is the rest
			c.looker.audited = c.audit.Look(ctx, c.collector.Tail())
		}
		return c.looker.audited
	})
	ask(func() (err error) { a.slot, a.log, err = c.readSlot(ctx); return err })
	ask(func() (err error) { a.members, err = c.readMembers(ctx); return err })
	ask(func() (err error) { a.orders, err = c.readNewest(ctx); return err })
	ask(func() (err error) {
		a.relays, a.reread, err = c.looker.relays.look(ctx, c.cfg.Asker, c.cfg.Relays)
		return err
	})
	ask(func() error { a.api = c.cfg.API != "" && c.cfg.Asker.Ready(ctx, c.cfg.API); return nil })
	ask(func() error {
		err := c.client.Ping(ctx)
		if a.broker = err == nil; err != nil {
			err = fmt.Errorf("no Kafka broker of %v answers: %w", c.cfg.Brokers, err)
		}
		return err
	})
	asking.Wait()
	return a
}

// askOn asks what depends on the answers, of the places that have given one, and returns how many orders wait for a relay.
func (c *Console) askOn(ctx context.Context, s *Snapshot, a *asked, running *audit.Running) (waiting int64) {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	var errOrders, errSums error
	s.Analytics = c.looker.analytics
	if s.Orders, errOrders = c.ordersOf(ctx, a.orders, a.members != nil); a.members != nil {
		s.Analytics, errSums = c.sums(ctx)
	}
	a.errs = append(a.errs, errOrders, errSums)
	a.errs = slices.DeleteFunc(a.errs, func(err error) bool { return err == nil })
	if a.slot.Name == "" || active(a.relays, a.slot).Name != "" {
		return -1
	}
	return c.waiting(ctx, running.Unpublished, running.OldestSeq)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// pipe fills in where the events are.
func (c *Console) pipe(s *Snapshot, a *asked) {
	parts, newest, aborted := c.arrivals.topic(len(a.members))
	now := sample{at: s.At, orders: a.counts.Orders, written: a.counts.Written, published: a.counts.Published, applied: a.counts.Applied, log: a.log}
	for _, p := range parts {
		now.partitions = append(now.partitions, p.events)
	}
	l := &c.looker
	before := l.since(now, rateWindow)
	rate := func(was, is int64) float64 { return perSecond(is-was, now.at.Sub(before.at)) }
	s.Pipe = Pipe{
		API:        Stage{Count: now.orders, Rate: rate(before.orders, now.orders), Last: moment(a.orders.placed), Up: a.api || c.cfg.API == ""},
		Outbox:     Stage{Count: now.written, Rate: rate(before.written, now.written), Last: moment(a.orders.written), Up: a.slot.Name != ""},
		Relay:      Stage{Count: now.published, Rate: rate(before.published, now.published), Last: moment(newest), Up: a.slot.Active},
		Projectors: Stage{Count: now.applied, Rate: rate(before.applied, now.applied), Up: a.members != nil},
		ReadModel:  Stage{Count: now.applied, Rate: rate(before.applied, now.applied), Up: a.members != nil},
		Partitions: []Stage{},
	}
	for i, p := range parts {
		stage := Stage{Count: p.events, Last: moment(p.last), Up: a.broker}
		if i < len(before.partitions) {
			stage.Rate = rate(before.partitions[i], p.events)
		}
		s.Pipe.Partitions = append(s.Pipe.Partitions, stage)
	}
	for _, m := range a.members {
		s.Pipe.ReadModel.Last = later(s.Pipe.ReadModel.Last, m.Updated)
	}
	s.Pipe.Projectors.Last = s.Pipe.ReadModel.Last
	s.Kafka = Kafka{Aborted: aborted, Reread: a.reread}
	l.history = append(l.history, now)
}

// rateWindow is over how long a rate is taken; the log's grows over logWindow.
const (
	rateWindow = 5 * time.Second
	logWindow  = time.Minute
)

// since is the sample from which on a rate is taken: the newest that is as old, or the oldest. It drops what nobody needs any more.
func (l *looker) since(now sample, window time.Duration) sample {
	for len(l.history) > 1 && now.at.Sub(l.history[1].at) >= logWindow {
		l.history = l.history[1:]
	}
	before := now
	for i := len(l.history) - 1; i >= 0; i-- {
		before = l.history[i]
		if now.at.Sub(before.at) >= window {
			break
		}
	}
	return before
}

func perSecond(n int64, over time.Duration) float64 {
	if over <= 0 || n <= 0 { // a read model that was made anew is no rate
		return 0
	}
	return float64(n) / over.Seconds()
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func later(a *time.Time, b time.Time) *time.Time {
	if a == nil || b.After(*a) {
		return moment(b)
	}
	return a
}
