package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// passed is an event that the read model must have once its offset is behind it.
type passed struct {
	key

	id     uuid.UUID
	part   int32
	offset int64
}

// Of events, those that the read model has neither applied nor put among its dead letters.
const selectUnapplied = `
SELECT w.n
FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::integer[], $6::bigint[]) WITH ORDINALITY AS w (order_id, version, event_id, part, at, n)
WHERE NOT EXISTS (
  SELECT
  FROM order_timeline AS t
  WHERE t.order_id = w.order_id
    AND t.version = w.version
    AND t.event_id = w.event_id
)
  AND NOT EXISTS (
  SELECT
  FROM dead_letters AS d
  WHERE d.topic = $1
    AND d.part = w.part
    AND d.record_offset = w.at
)`

const countLetters = `
SELECT count(*)
FROM dead_letters
WHERE topic = $1
  AND state = 'waiting'`

// follow holds the read model against the events that its offsets have passed, in one snapshot of it.
func (c *Continuous) follow(ctx context.Context) error {
	if c.model == nil {
		return nil
	}
	err := pgx.BeginTxFunc(ctx, c.model, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		next, err := nextOffsets(ctx, tx, c.cfg.Topic)
		if err != nil {
			return err
		}
		due, history := c.due(next)
		lost, err := unapplied(ctx, tx, c.cfg.Topic, due)
		if err != nil {
			c.giveBack(due, history)
			return err
		}
		var letters int64
		if err := tx.QueryRow(ctx, countLetters, c.cfg.Topic).Scan(&letters); err != nil {
			c.giveBack(due, history)
			return fmt.Errorf("dead letters: %w", err)
		}
		c.note(lost, letters, history)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read model's database: %w", err)
	}
	return nil
}

func nextOffsets(ctx context.Context, tx pgx.Tx, topic string) (map[int32]int64, error) {
	next := make(map[int32]int64)
	var part int32
	var offset int64
	rows, _ := tx.Query(ctx, `SELECT part, next_offset FROM projection_offsets WHERE topic = $1`, topic) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&part, &offset}, func() error {
		next[part] = offset
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("offsets: %w", err)
	}
	return next, nil
}

// due takes what the read model has passed, and what it was found to lack: a restored one may have got it meanwhile.
func (c *Continuous) due(next map[int32]int64) (due []passed, history int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	due, c.lost = c.lost, nil
	for part, queue := range c.waiting {
		n := 0
		for n < len(queue) && queue[n].offset < next[part] {
			n++
		}
		due = append(due, queue[:n]...)
		c.waiting[part] = queue[n:]
	}
	return due, c.history
}

// giveBack lets what could not be asked about be asked about again.
func (c *Continuous) giveBack(due []passed, history int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.history == history {
		c.lost = append(due, c.lost...)
	}
}

func unapplied(ctx context.Context, tx pgx.Tx, topic string, due []passed) (lost []passed, err error) {
	if len(due) == 0 {
		return nil, nil
	}
	n := len(due)
	orders, ids := make([]uuid.UUID, n), make([]uuid.UUID, n)
	versions, offsets, parts := make([]int64, n), make([]int64, n), make([]int32, n)
	for i, p := range due {
		orders[i], versions[i], ids[i], parts[i], offsets[i] = p.order, p.version, p.id, p.part, p.offset
	}
	rows, _ := tx.Query(ctx, selectUnapplied, topic, orders, versions, ids, parts, offsets)
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for events in the timeline: %w", err)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		lost = append(lost, due[number-1])
	}
	return lost, nil
}

// note counts what the read model lacks, unless that is of a topic that is no more.
func (c *Continuous) note(lost []passed, letters int64, history int) {
	var found []Offender
	for _, p := range lost[:min(len(lost), keptOffenders)] {
		found = append(found, Offender{
			Kind: WrongReadModel, Table: "order_timeline", Partition: new(p.part), Offset: new(p.offset),
			Event: p.id, Order: p.order, Version: p.version, Detail: "the read model has passed this event and has no row of it",
		})
	}
	if letters > 0 {
		found = append(found, Offender{
			Kind: WrongReadModel, Table: "dead_letters", Detail: fmt.Sprintf("%d events could not be applied: projector letters list says why, and redrive applies them", letters),
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.history != history {
		return
	}
	if extra := len(lost) - keptLost; extra > 0 {
		c.count.Left += int64(extra) // of what is not asked about again it is not known whether it came
	}
	c.lost = append(slices.Clip(lost[:min(len(lost), keptLost)]), c.lost...)
	c.list.replace(WrongReadModel, found)
	c.count.Unapplied = int64(len(lost)) + letters
}
