package bench

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// Check says what is wrong with the records of a measurement. All but Events must be zero, or its figures are void.
type Check struct {
	Events     int64 `json:"events"` // that must be in the topic: the rows that were committed
	Missing    int64 `json:"missing"`
	Duplicates int64 `json:"duplicates"`
	OutOfOrder int64 `json:"out_of_order"` // behind a later version of its order, or in another partition
	Altered    int64 `json:"altered"`      // not the row's key, payload, headers, id, type or time; or of no row at all

	Findings []string `json:"findings,omitempty"` // the first of them
}

// Clean says whether nothing was found.
func (c Check) Clean() bool { return c.Missing+c.Duplicates+c.OutOfOrder+c.Altered == 0 }

const mostFindings = 5

func (c *Check) find(count *int64, format string, args ...any) {
	*count++
	if len(c.Findings) < mostFindings {
		c.Findings = append(c.Findings, fmt.Sprintf(format, args...))
	}
}

// checker compares what it is shown of a topic with the rows that were committed.
type checker struct {
	trial  trial
	first  int64    // the sequence number of the first row
	rows   []number // by sequence number less first; none where there is no row
	seen   []bool   // the same
	orders map[uuid.UUID]head
	check  Check
}

// head is the last of an order that was seen.
type head struct {
	version   int64
	partition int32
}

const none number = -1

func newChecker(t trial) *checker { return &checker{trial: t, orders: make(map[uuid.UUID]head)} }

const selectRows = `
SELECT seq, aggregateid, version
FROM outbox
WHERE seq > $1
ORDER BY seq`

// expect reads from the table which rows were committed since a sequence number.
func (c *checker) expect(ctx context.Context, conn *pgx.Conn, after int64) error {
	rows, _ := conn.Query(ctx, selectRows, after) //nolint:rowserrcheck // ForEachRow checks it
	var (
		seq, version int64
		order        uuid.UUID
	)
	_, err := pgx.ForEachRow(rows, []any{&seq, &order, &version}, func() error {
		n, ours := c.trial.numberOf(order, version)
		if !ours {
			return fmt.Errorf("row %d is not of this trial: somebody else writes to the outbox", seq)
		}
		c.add(seq, n)
		return nil
	})
	if err != nil {
		return fmt.Errorf("rows of the trial: %w", err)
	}
	return nil
}

// add expects a row. Rows must come in the order of their sequence numbers.
func (c *checker) add(seq int64, n number) {
	if len(c.rows) == 0 {
		c.first = seq
	}
	for int64(len(c.rows)) < seq-c.first {
		c.rows = append(c.rows, none) // of a transaction that was rolled back
	}
	c.rows = append(c.rows, n)
	c.check.Events++
}

// show takes the next record of its partition.
func (c *checker) show(r *kgo.Record) {
	if c.seen == nil {
		c.seen = make([]bool, len(c.rows))
	}
	m, err := topic.Parse(r)
	if err != nil {
		c.check.find(&c.check.Altered, "altered: %v", err)
		return
	}
	at := m.Seq - c.first
	if at < 0 || at >= int64(len(c.rows)) || c.rows[at] == none {
		c.check.find(&c.check.Altered, "altered: %s is of no row of this trial", where(r, m))
		return
	}
	if c.seen[at] {
		c.check.find(&c.check.Duplicates, "duplicate: %s", where(r, m))
		return
	}
	c.seen[at] = true
	if want := c.trial.event(c.rows[at]); !same(m.Event, want) {
		c.check.find(&c.check.Altered, "altered: %s is not as its row", where(r, m))
		return
	}
	last, known := c.orders[m.Order]
	if known && (m.Version < last.version || r.Partition != last.partition) {
		c.check.find(&c.check.OutOfOrder, "out of order: %s comes after version %d in partition %d", where(r, m),
			last.version, last.partition)
	}
	c.orders[m.Order] = head{max(m.Version, last.version), r.Partition}
}

func where(r *kgo.Record, m topic.Message) string {
	return fmt.Sprintf("partition %d offset %d, order %s version %d, row %d",
		r.Partition, r.Offset, m.Order, m.Version, m.Seq)
}

// same compares all of an event. That the record's key is the order's id, topic.Parse has seen to.
func same(got, want event.Event) bool {
	return got.ID == want.ID && got.Order == want.Order && got.Version == want.Version && got.Type == want.Type &&
		got.At.Equal(want.At) && bytes.Equal(got.Payload, want.Payload) && maps.Equal(got.Headers, want.Headers)
}

// result is what was found, once everything was shown.
func (c *checker) result() Check {
	for at, n := range c.rows {
		if n != none && (c.seen == nil || !c.seen[at]) {
			c.check.find(&c.check.Missing, "missing: row %d, order %s version %d", c.first+int64(at),
				c.trial.id(n.order(), 0), n.version())
		}
	}
	return c.check
}

// audit checks all that was written to the outbox and to the topic since the trial began. The relay must have published
// it.
func (s *servers) audit(ctx context.Context, t trial, after int64, from ends) (Check, error) {
	c := newChecker(t)
	if err := c.expect(ctx, s.db, after); err != nil {
		return Check{}, err
	}
	to, err := s.ends(ctx, s.names.Topic)
	if err != nil {
		return Check{}, err
	}
	if err := s.consume(ctx, s.names.Topic, from, to, c.show); err != nil {
		return Check{}, err
	}
	return c.result(), nil
}
