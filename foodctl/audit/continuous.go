package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Continuous audits a pipeline while it runs, event by event as a status.Tail reads them, of which it is an observer. Over the whole
// topic it counts what is repeated and, with Look, what is missing. What has come since it began it compares with its row, with the
// event before it, and with the read model; for what was there before that is left to Run, as it would take reading the whole outbox
// at each start. So are the rows of transactions that took longer than ten seconds: it may not know that they are missing.
//
// Its memory is a bit for each event of the outbox, and a bounded number of records that wait for the read model.
type Continuous struct {
	cfg    Config
	db     *pgxpool.Pool // of the orders
	client *kgo.Client   // for the checkpoint
	model  *pgxpool.Pool // nil: the read model is not audited
	cut    openCut
	batch  prepared // for Prepare and Judge, which the tail calls in turns

	mu      sync.Mutex // guards what follows
	count   Running
	list    *findings
	extra   []uuid.UUID        // counted as such, the first of them
	waiting map[int32][]passed // by partition: until the read model says that it has passed them
	lost    []passed           // counted as not applied, the first of them
}

// Running is what a Continuous has counted so far. From Duplicates on everything must be 0.
type Running struct {
	Began       time.Time
	Events      int64     // different ones in the topic
	Compared    int64     // of them, with their rows: those that came since Began
	Unpublished int64     // rows that are not in the topic
	Oldest      time.Time // when the oldest of those happened; zero: there is none
	OldestSeq   int64     // its sequence number

	Duplicates, Missing, Extra, OutOfOrder, Mismatched int64 // as Counts has them

	Unapplied int64      // events that the read model has passed and does not have, its dead letters among them
	Findings  []Offender // the first of each kind
}

// Clean reports whether nothing was found.
func (r *Running) Clean() bool {
	return r.Duplicates+r.Missing+r.Extra+r.OutOfOrder+r.Mismatched+r.Unapplied == 0
}

// What is kept of each kind of finding that is looked at again.
const (
	keptOffenders = 20
	keptExtra     = 1000
	keptWaiting   = 10_000 // of a partition
)

// NewContinuous prepares an audit. It connects when it is needed; the caller must Close it behind the tail.
func NewContinuous(ctx context.Context, cfg Config) (c *Continuous, err error) {
	c = &Continuous{
		cfg: cfg, list: newFindings(keptOffenders), waiting: make(map[int32][]passed), count: Running{Began: time.Now()},
	}
	if c.db, err = pool(ctx, cfg.OrdersURL); err != nil {
		return nil, fmt.Errorf("orders database: %w", err)
	}
	if cfg.ReadModelURL != "" {
		if c.model, err = pool(ctx, cfg.ReadModelURL); err != nil {
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

// pool is sessions that can only read: one for Prepare, one for Look.
func pool(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	cfg.MaxConns = 2
	cfg.ConnConfig.RuntimeParams["application_name"] = "foodctl audit"
	cfg.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	return pgxpool.NewWithConfig(ctx, cfg)
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

// Running says what was counted so far.
func (c *Continuous) Running() Running {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.count
	r.Findings = c.list.offenders()
	return r
}

// prepared is what the outbox says of a batch of records.
type prepared struct {
	rows   map[uuid.UUID]outbox.Entry
	before map[key]int64 // sequence numbers of the events that they follow, by their own keys
}

const selectPredecessors = `
SELECT f.order_id, f.version, o.seq
FROM unnest($1::uuid[], $2::bigint[]) AS f (order_id, version)
JOIN outbox AS o ON o.aggregateid = f.order_id AND o.version = f.version - 1`

// Prepare implements status.Observer. While the database does not answer it waits, and so does the topic.
func (c *Continuous) Prepare(ctx context.Context, batch []status.Read) {
	c.batch = prepared{}
	var ids []uuid.UUID
	var orders []uuid.UUID
	var versions []int64
	for _, r := range batch {
		if r.New && r.Err == nil {
			ids, orders, versions = append(ids, r.Event.ID), append(orders, r.Event.Order), append(versions, r.Event.Version)
		}
	}
	for patience := lateness; len(ids) > 0; {
		const pause = 50 * time.Millisecond
		p, err := c.look(ctx, ids, orders, versions)
		if err == nil {
			// Postgres sends a commit to the relay before others see it: see lateness.
			if patience -= pause; len(p.rows) == len(ids) || patience < 0 {
				c.batch = p
				return
			}
		}
		if ops.Sleep(ctx, pause) != nil {
			return
		}
	}
}

func (c *Continuous) look(ctx context.Context, ids, orders []uuid.UUID, versions []int64) (p prepared, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if p.rows, err = entries(ctx, c.db, ids); err != nil {
		return p, err
	}
	p.before = make(map[key]int64, len(ids))
	var k key
	var seq int64
	rows, _ := c.db.Query(ctx, selectPredecessors, orders, versions) //nolint:rowserrcheck // ForEachRow checks it
	_, err = pgx.ForEachRow(rows, []any{&k.order, &k.version, &seq}, func() error {
		p.before[k] = seq
		return nil
	})
	return p, err
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
			c.compare(r, seen)
		}
	}
}

// compare holds an event that the topic shows for the first time against its row and the event before it.
func (c *Continuous) compare(r status.Read, seen *status.Bits) {
	m := r.Event
	row, has := c.batch.rows[m.ID]
	if !has {
		c.count.Extra++
		c.list.add(offender(Extra, r.Record, m.Event, "no row of the outbox has this event: "+describe(m.Event)))
		if len(c.extra) < keptExtra {
			c.extra = append(c.extra, m.ID)
		}
		return
	}
	c.count.Compared++
	if d := difference(m, row.Event, row.Seq); len(d) > 0 {
		c.count.Mismatched++
		c.list.add(offender(Mismatched, r.Record, m.Event, d.String()))
		return
	}
	if before, has := c.batch.before[key{m.Order, m.Version}]; m.Version > 1 && (!has || !seen.Has(before)) {
		c.count.OutOfOrder++
		c.list.add(offender(OutOfOrder, r.Record, m.Event, fmt.Sprintf("comes before version %d", m.Version-1)))
	}
	if c.model != nil {
		queue := append(c.waiting[r.Partition], passed{key{m.Order, m.Version}, m.ID, r.Partition, r.Offset})
		c.waiting[r.Partition] = queue[max(0, len(queue)-keptWaiting):]
	}
}

// Look does what is not done record by record. It is to be called every second or so, by one goroutine.
func (c *Continuous) Look(ctx context.Context, tail *status.Tail) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := c.missing(ctx, tail)
	if err != nil {
		err = fmt.Errorf("orders database: %w", err)
	}
	return errors.Join(err, c.pardon(ctx), c.follow(ctx))
}

// pardon looks again for the rows of events that seemed to have none.
func (c *Continuous) pardon(ctx context.Context) error {
	c.mu.Lock()
	ids := slices.Clone(c.extra)
	c.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	rows, err := entries(ctx, c.db, ids)
	if err != nil {
		return fmt.Errorf("orders database: look for extra events: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extra = slices.DeleteFunc(c.extra, func(id uuid.UUID) bool {
		_, has := rows[id]
		if has {
			c.count.Extra--
			c.list.remove(Extra, id)
		}
		return has
	})
	return nil
}
