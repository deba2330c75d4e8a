package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/readonly"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
)

// Continuous audits a pipeline while it runs, event by event as a status.Tail reads them, of which it is an observer. Over the whole
// topic it counts what is repeated and, with Look, what is missing. What has come since it began it compares with its row, with the
// event before it, and with the read model; for what was there before that is left to Run, as it would take reading the whole outbox
// at each start. So are the rows of transactions that took longer than ten seconds: it may not know that they are missing.
//
// Its memory is a bit for each event of the outbox, and a bounded number of records that wait for their row or for the read model. What
// finds no room there is not compared, and counted in Running.Left.
type Continuous struct {
	cfg    Config
	db     *pgxpool.Pool // of the orders
	client *kgo.Client   // for the checkpoint
	model  *pgxpool.Pool // nil: the read model is not audited
	cut    openCut       // of Look alone
	batch  prepared      // for Prepare and Judge, which the tail calls in turns

	mu      sync.Mutex // guards what follows
	history int        // how many times the topic was begun
	count   Running
	list    *findings
	unseen  []unseen           // events whose rows are not there, or not visible yet, in the order in which they came
	visible uint64             // the highest commit position of an event whose row was there
	waiting map[int32][]passed // by partition: until the read model says that it has passed them
	lost    []passed           // counted as not applied, the first of them
	trouble error              // why Prepare waits
}

// Running is what a Continuous has counted so far. From Duplicates on everything must be 0.
type Running struct {
	Began       time.Time
	Events      int64     // different ones in the topic
	Compared    int64     // of them, with their rows: those that came since Began
	Left        int64     // comparisons that are left to Run, as there was no room to wait with them
	Unpublished int64     // rows that are not in the topic
	Oldest      time.Time // when the oldest of those happened; zero: there is none
	OldestSeq   int64     // its sequence number

	Duplicates, Missing, Extra, OutOfOrder, Mismatched int64 // as Counts has them

	Unapplied int64      // events that the read model has passed and does not have, and dead letters that wait
	Findings  []Offender // the first of each kind
}

// What is kept of what is looked at again.
const (
	keptOffenders = 20
	keptUnseen    = 1000
	keptLost      = 1000
	keptWaiting   = 10_000 // of a partition
)

// auditName is how Postgres knows the sessions.
const auditName = "foodctl audit"

// NewContinuous prepares an audit. It connects when it is needed; the caller must Close it behind the tail.
func NewContinuous(ctx context.Context, cfg Config) (c *Continuous, err error) {
	c = &Continuous{cfg: cfg}
	c.forget()
	if c.db, err = readonly.Pool(ctx, cfg.OrdersURL, auditName, 2); err != nil { // one for Prepare, one for Look
		return nil, fmt.Errorf("orders database: %w", err)
	}
	if cfg.ReadModelURL != "" {
		if c.model, err = readonly.Pool(ctx, cfg.ReadModelURL, auditName, 1); err != nil {
			c.db.Close()
			return nil, fmt.Errorf("read model's database: %w", err)
		}
	}
	if c.client, err = kgo.NewClient(append(cfg.Security.Options(), kgo.SeedBrokers(cfg.Brokers...), kgo.ClientID("foodctl-audit"))...); err != nil {
		c.closePools()
		return nil, err
	}
	return c, nil
}

// Close ends its connections.
func (c *Continuous) Close() {
	c.client.Close()
	c.closePools()
}

func (c *Continuous) closePools() {
	c.db.Close()
	if c.model != nil {
		c.model.Close()
	}
}

// Reset implements status.Observer: what was counted is of another topic than the one that is read now.
func (c *Continuous) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
}

func (c *Continuous) forget() {
	c.history++
	c.count, c.list = Running{Began: time.Now()}, newFindings(keptOffenders)
	c.unseen, c.visible, c.lost, c.trouble = nil, 0, nil, nil
	c.waiting = make(map[int32][]passed)
}

// Running says what was counted so far.
func (c *Continuous) Running() Running {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.count
	r.Findings = c.list.offenders()
	return r
}

// Control implements status.Observer.
func (c *Continuous) Control(*kgo.Record) {}

// Judge implements status.Observer.
func (c *Continuous) Judge(r status.Read, fresh bool, seen *status.Bits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case r.Err != nil:
		c.count.Mismatched++
		c.list.add(offender(Mismatched, r.Record, r.Event.Event, r.Err.Error()))
	case !fresh:
		c.count.Duplicates++
		c.list.add(offender(Duplicate, r.Record, r.Event.Event, fmt.Sprintf("outbox row %d is in the topic already", r.Event.Seq)))
	default:
		c.count.Events++
		if r.New && c.batch.rows != nil { // else the program ends
			c.meet(r, seen)
		}
	}
}

// meet holds an event that the topic shows for the first time against its row and the event before it.
func (c *Continuous) meet(r status.Read, seen *status.Bits) {
	m := r.Event
	if before, has := c.batch.before[key{m.Order, m.Version}]; m.Version > 1 && has && !seen.Has(before) {
		c.count.OutOfOrder++
		c.list.add(offender(OutOfOrder, r.Record, m.Event, fmt.Sprintf("comes before version %d", m.Version-1)))
	}
	row, has := c.batch.rows[m.ID]
	switch {
	case has:
		c.compare(r, row)
	case len(c.unseen) < keptUnseen:
		c.unseen = append(c.unseen, unseen{Read: r, since: time.Now()})
	default:
		c.count.Left++
	}
}

// Look does what is not done record by record. It is to be called every second or so, by one goroutine. When its time is over before it
// is done, the next call goes on.
func (c *Continuous) Look(ctx context.Context, tail *status.Tail) error {
	err := c.missing(ctx, tail)
	if err != nil {
		err = fmt.Errorf("audit: %w", err)
	}
	return errors.Join(c.hindered(), err, c.lookAgain(ctx), c.follow(ctx))
}
