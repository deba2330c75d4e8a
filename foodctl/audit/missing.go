package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// openCut is what a Continuous asks after: the rows of a snapshot, which must be in the topic once the relay has passed its position.
// There is always one that is not judged yet; what is written meanwhile waits for the next.
type openCut struct {
	due   status.Bits // rows of the cut, and of all before it
	later status.Bits // rows that came after it
	floor status.Floor

	taken  bool
	at     outbox.LSN
	ends   map[int32]int64 // of the topic behind that; nil: the relay has not passed it yet
	settle bool            // something was missing, and is once more looked for
}

// missing goes on with the cut as far as it can.
func (c *Continuous) missing(ctx context.Context, tail *status.Tail) error {
	if err := c.readSource(ctx); err != nil {
		return err
	}
	if err := c.unpublished(ctx, tail); err != nil || c.cfg.Slot == "" {
		return err
	}
	cut := &c.cut
	if cut.ends == nil {
		past, err := confirmed(ctx, c.db, c.cfg.Slot, cut.at)
		if err != nil || !past {
			return err
		}
		// The topic's end behind the slot's answer: whatever was acknowledged then is below it, and what is not there is missing.
		if cut.ends, err = tail.Ends(ctx); err != nil {
			return err
		}
	}
	if !tail.Reached(cut.ends) {
		return nil
	}
	return c.judgeCut(ctx, tail)
}

// readSource reads the rows that have come, and takes a cut if there is none. The log's end is asked for behind the snapshot that has
// the rows: they were committed below it.
func (c *Continuous) readSource(ctx context.Context) error {
	var seq, highest int64
	now := time.Now()
	if !c.cut.taken {
		c.cut.due.Merge(c.cut.later)
		c.cut.later = status.Bits{}
	}
	floor := c.cut.floor.At(now)
	highest = floor
	rows, _ := c.db.Query(ctx, `SELECT seq FROM outbox WHERE seq > $1`, floor) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&seq}, func() error {
		highest = max(highest, seq)
		if !c.cut.taken {
			c.cut.due.Set(seq)
		} else if !c.cut.due.Has(seq) {
			c.cut.later.Set(seq)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sequence numbers of the outbox: %w", err)
	}
	c.cut.floor.Note(now, highest)
	if !c.cut.taken {
		if c.cut.at, err = walEnd(ctx, c.db); err != nil {
			return err
		}
		c.cut.taken, c.cut.ends = true, nil
	}
	return nil
}

// unpublished counts the rows that the topic has not shown yet, which is no fault.
func (c *Continuous) unpublished(ctx context.Context, tail *status.Tail) error {
	n, first := tail.Lacks(&c.cut.due, 1)
	more, next := tail.Lacks(&c.cut.later, 1)
	var oldest time.Time
	var seq int64
	if first = append(first, next...); len(first) > 0 {
		seq = first[0]
		err := c.db.QueryRow(ctx, `SELECT occurred_at FROM outbox WHERE seq = $1`, seq).Scan(&oldest)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("the oldest row that is not published: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.Unpublished, c.count.Oldest, c.count.OldestSeq = n+more, oldest, seq
	return nil
}

// judgeCut counts the rows of the cut that the topic lacks. It looks twice: a relay may have finished to load the table since the
// topic's end was asked for.
func (c *Continuous) judgeCut(ctx context.Context, tail *status.Tail) error {
	n, lowest := tail.Lacks(&c.cut.due, keptOffenders)
	if n > 0 && !c.cut.settle {
		c.cut.ends = nil
		busy, err := loading(ctx, c.client, c.cfg)
		c.cut.settle = err == nil && !busy
		return err
	}
	found, err := c.absent(ctx, lowest)
	if err != nil {
		return err
	}
	c.cut.taken, c.cut.settle = false, false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list.replace(Missing, found)
	c.count.Missing = n
	return nil
}

const selectAbsent = `
SELECT seq, id, aggregateid, version, type
FROM outbox
WHERE seq = ANY ($1)`

// absent names rows that the topic lacks.
func (c *Continuous) absent(ctx context.Context, numbers []int64) (found []Offender, err error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	var (
		seq, version int64
		id, order    uuid.UUID
		kind         event.Type
	)
	rows, _ := c.db.Query(ctx, selectAbsent, numbers) //nolint:rowserrcheck // ForEachRow checks it
	_, err = pgx.ForEachRow(rows, []any{&seq, &id, &order, &version, &kind}, func() error {
		found = append(found, Offender{
			Kind: Missing, Event: id, Order: order, Version: version, Detail: fmt.Sprintf("outbox row %d, %s, is not in the topic", seq, kind),
		})
		return nil
	})
	return found, err
}
