package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// prepared is what the outbox says of a batch of records.
type prepared struct {
	rows   map[uuid.UUID]outbox.Entry // nil: it was not asked
	before map[key]int64              // sequence numbers of the events that they follow, by their own keys
}

// unseen is an event whose row was not there when it was looked for.
type unseen struct {
	status.Read

	since   time.Time
	counted bool // as extra
}

const selectPredecessors = `
SELECT f.order_id, f.version, o.seq
FROM unnest($1::uuid[], $2::bigint[]) AS f (order_id, version)
JOIN outbox AS o ON o.aggregateid = f.order_id AND o.version = f.version - 1`

// rowsAtOnce bounds what is read of the outbox at a time.
const rowsAtOnce = 1000

// Prepare implements status.Observer: it reads the rows of what has come. While the database does not answer it waits, and so does the
// topic.
func (c *Continuous) Prepare(ctx context.Context, batch []status.Read) {
	c.batch = prepared{}
	var fresh []status.Read
	for _, r := range batch {
		if r.New && r.Err == nil {
			fresh = append(fresh, r)
		}
	}
	all := prepared{rows: make(map[uuid.UUID]outbox.Entry, len(fresh)), before: make(map[key]int64, len(fresh))}
	for len(fresh) > 0 {
		part := fresh[:min(len(fresh), rowsAtOnce)]
		err := c.read(ctx, part, all)
		c.hinder(err)
		switch {
		case err == nil:
			fresh = fresh[len(part):]
		case ops.Sleep(ctx, 200*time.Millisecond) != nil:
			return
		}
	}
	c.batch = all
}

func (c *Continuous) hinder(err error) {
	if err != nil {
		err = fmt.Errorf("orders database: the rows of what was published: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = err
}

// hindered is why the topic is not read on.
func (c *Continuous) hindered() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// read adds the rows of some records, and of what they follow, to what is known. Those that are not visible yet it asks for again, for a
// moment: see lateness.
func (c *Continuous) read(ctx context.Context, part []status.Read, all prepared) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	const pause = 50 * time.Millisecond
	for patience := lateness; ; patience -= pause {
		n, err := c.ask(ctx, part, all)
		if err != nil || n == len(part) || patience <= 0 {
			return err
		}
		if err := ops.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

const selectRows = "SELECT " + outbox.Columns + " FROM outbox WHERE id = ANY ($1)"

// ask asks for rows and for those before them, in one round trip, and says how many of the first there are.
func (c *Continuous) ask(ctx context.Context, part []status.Read, all prepared) (found int, err error) {
	ids, orders := make(pgtype.FlatArray[pgtype.UUID], len(part)), make(pgtype.FlatArray[pgtype.UUID], len(part)) // []uuid.UUID would go by reflection
	versions := make([]int64, len(part))
	for i, r := range part {
		ids[i], orders[i] = pgtype.UUID{Bytes: r.Event.ID, Valid: true}, pgtype.UUID{Bytes: r.Event.Order, Valid: true}
		versions[i] = r.Event.Version
	}
	batch := &pgx.Batch{}
	batch.Queue(selectRows, ids).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, outbox.Scan)
		for _, row := range list {
			all.rows[row.ID] = row
		}
		found = len(list)
		return err
	})
	batch.Queue(selectPredecessors, orders, versions).Query(func(rows pgx.Rows) error {
		var k key
		var seq int64
		_, err := pgx.ForEachRow(rows, []any{&k.order, &k.version, &seq}, func() error {
			all.before[k] = seq
			return nil
		})
		return err
	})
	return found, c.db.SendBatch(ctx, batch).Close()
}

// compare holds an event against its row, and has it wait for the read model.
func (c *Continuous) compare(r status.Read, row outbox.Entry) {
	m := r.Event
	c.count.Compared++
	c.visible = max(c.visible, uint64(m.Source.Commit))
	if d := difference(m, row.Event, row.Seq); len(d) > 0 {
		c.count.Mismatched++
		c.list.add(offender(Mismatched, r.Record, m.Event, d.String()))
		return
	}
	switch queue := c.waiting[r.Partition]; {
	case c.model == nil:
	case len(queue) < keptWaiting:
		c.waiting[r.Partition] = append(queue, passed{key{m.Order, m.Version}, m.ID, r.Partition, r.Offset})
	default:
		c.count.Left++
	}
}

// patientFor is how long the row of an event may be invisible although a later one is visible.
const patientFor = 3 * time.Second

// lookAgain looks for the rows of events that had none. Postgres lets others see a commit after the relay has it: with a synchronous
// standby that is away, long after. So an event is extra only if one that was committed behind it is seen and it is not.
func (c *Continuous) lookAgain(ctx context.Context) error {
	c.mu.Lock()
	history := c.history
	ids := make([]uuid.UUID, len(c.unseen))
	for i, u := range c.unseen {
		ids[i] = u.Event.ID
	}
	c.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	rows, err := entries(ctx, c.db, ids)
	if err != nil {
		return fmt.Errorf("orders database: rows that were not there: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.history == history {
		c.settle(rows, len(ids))
	}
	return nil
}

// settle judges the first n of the events that had no row.
func (c *Continuous) settle(rows map[uuid.UUID]outbox.Entry, n int) {
	var left []unseen
	for _, u := range c.unseen[:n] {
		row, has := rows[u.Event.ID]
		switch late := time.Since(u.since) >= patientFor && uint64(u.Event.Source.Commit) < c.visible; {
		case has && u.counted:
			c.count.Extra--
			c.list.remove(Extra, u.Event.ID)
			c.compare(u.Read, row)
			continue
		case has:
			c.compare(u.Read, row)
			continue
		case late && !u.counted:
			u.counted = true
			c.count.Extra++
			c.list.add(offender(Extra, u.Record, u.Event.Event, "no row of the outbox has this event: "+describe(u.Event.Event)))
		}
		left = append(left, u)
	}
	c.unseen = append(left, c.unseen[n:]...)
}
