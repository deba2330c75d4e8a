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

// openCut is what a Continuous asks after: rows of the outbox, which must be in the topic once the relay has passed a position behind
// them. There is always one that is not judged yet; what is written meanwhile waits for the next.
type openCut struct {
	history int         // of the topic that it is asked after in
	due     status.Bits // rows of the cut, and of all before it
	later   status.Bits // rows that came after it
	floor   status.Floor
	read    int64 // up to which number rows were read, while the first reading goes on

	taken  bool
	at     outbox.LSN
	ends   map[int32]int64 // of the topic behind that; nil: the relay has not passed it yet
	settle bool            // something was missing, and is once more looked for
}

// missing goes on with the cut as far as it can.
func (c *Continuous) missing(ctx context.Context, tail *status.Tail) error {
	c.mu.Lock()
	if history := c.history; c.cut.history != history {
		c.cut = openCut{history: history}
	}
	c.mu.Unlock()
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
		// Behind the slot's answer: whatever was acknowledged then is below the log's end, and what is not there is missing. The end that
		// readers see would not do: Kafka answers a commit before its markers are written.
		if cut.ends, err = tail.LogEnds(ctx); err != nil {
			return fmt.Errorf("end of the topic: %w", err)
		}
	}
	if !tail.Reached(cut.ends) {
		return nil
	}
	return c.judgeCut(ctx, tail)
}

const selectNumbers = `
SELECT seq
FROM outbox
WHERE seq > $1
ORDER BY seq
LIMIT 100000`

// readSource reads the rows that have come, and takes a cut if there is none. The log's end is asked for behind the snapshot that has
// the last of them: they were committed below it.
func (c *Continuous) readSource(ctx context.Context) error {
	cut := &c.cut
	var highest int64
	if err := c.db.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM outbox`).Scan(&highest); err != nil {
		return fmt.Errorf("newest row: %w", err)
	}
	now := time.Now()
	from := cut.floor.At(now, highest)
	if highest < from { // an older database has taken its place
		*cut = openCut{history: cut.history}
		from = 0
	}
	if !cut.taken {
		cut.due.Merge(cut.later)
		cut.later = status.Bits{}
	}
	if first := cut.read < from; first { // from nothing, page by page: the next look goes on where this one's time was over
		from = cut.read
	}
	for more := true; more; {
		var err error
		if from, more, err = c.readPage(ctx, from); err != nil {
			return err
		}
		cut.read = max(cut.read, from)
	}
	cut.floor.Note(now, highest)
	if !cut.taken {
		var err error
		if cut.at, err = walEnd(ctx, c.db); err != nil {
			return err
		}
		cut.taken, cut.ends = true, nil
	}
	return nil
}

// readPage reads some rows above a number, and says up to which one, and whether there are more.
func (c *Continuous) readPage(ctx context.Context, above int64) (upTo int64, more bool, err error) {
	const page = 100_000
	upTo = above
	var seq int64
	n := 0
	rows, _ := c.db.Query(ctx, selectNumbers, above) //nolint:rowserrcheck // ForEachRow checks it
	_, err = pgx.ForEachRow(rows, []any{&seq}, func() error {
		n, upTo = n+1, seq
		if !c.cut.taken {
			c.cut.due.Set(seq)
		} else if !c.cut.due.Has(seq) {
			c.cut.later.Set(seq)
		}
		return nil
	})
	if err != nil {
		return above, false, fmt.Errorf("sequence numbers of the outbox: %w", err)
	}
	return upTo, n == page, nil
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
	n, lowest := tail.Lacks(&c.cut.due, rowsAtOnce)
	var found []Offender
	if n > 0 {
		c.cut.ends = nil // whatever comes of it, it is asked for again
		busy, err := loading(ctx, c.client, c.cfg)
		if err != nil || busy {
			c.cut.settle = false
			return err
		}
		if !c.cut.settle {
			c.cut.settle = true
			return nil
		}
		var gone int
		if found, gone, err = c.absent(ctx, lowest); err != nil || gone > 0 {
			return err // with what is gone left out, it is looked again
		}
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
WHERE seq = ANY ($1)
ORDER BY seq`

// absent names rows that the topic lacks, the first of them. Rows that are no longer there, as another database has taken this one's
// place, are due no more; it says how many they were.
func (c *Continuous) absent(ctx context.Context, numbers []int64) (found []Offender, gone int, err error) {
	var (
		seq, version int64
		id, order    uuid.UUID
		kind         event.Type
	)
	there := make(map[int64]bool, len(numbers))
	rows, _ := c.db.Query(ctx, selectAbsent, numbers) //nolint:rowserrcheck // ForEachRow checks it
	_, err = pgx.ForEachRow(rows, []any{&seq, &id, &order, &version, &kind}, func() error {
		if there[seq] = true; len(found) < keptOffenders {
			found = append(found, Offender{
				Kind: Missing, Event: id, Order: order, Version: version, Detail: fmt.Sprintf("outbox row %d, %s, is not in the topic", seq, kind),
			})
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("rows that the topic lacks: %w", err)
	}
	for _, n := range numbers {
		if !there[n] {
			c.cut.due.Clear(n)
			gone++
		}
	}
	return found, gone, nil
}
