package viewtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// anyWay has short histories come in all kinds of ways, then longer ones.
func (w *world) anyWay(ctx context.Context, seed uint64) error {
	if err := w.migrate(ctx); err != nil {
		return err
	}
	const rounds = 40
	for round := range uint64(rounds) {
		c, err := w.coming(ctx, rand.New(rand.NewPCG(seed, round)), 1+2*int(round))
		if err == nil {
			err = c.all(ctx)
		}
		if err != nil {
			return fmt.Errorf("round %d: %w%s", round, err, c.steps.String())
		}
	}
	return nil
}

// coming is a history on its way into an empty read model.
type coming struct {
	*world

	r        *rand.Rand
	history  []Event
	queues   [][]Event // by partition: what is to come
	parts    []Apply
	repeated int
	steps    strings.Builder // what was done, for people
}

func (w *world) coming(ctx context.Context, r *rand.Rand, events int) (*coming, error) {
	c := &coming{world: w, r: r, history: History(r.Uint64(), 1+r.IntN(8), events)}
	c.queues = spread(c.history, 1+r.IntN(3))
	for i, q := range c.queues {
		c.queues[i] = c.repeat(q)
	}
	if err := w.empty(ctx); err != nil {
		return c, err
	}
	return c, c.claim(ctx)
}

// spread distributes a history over partitions, an order to one of them.
func spread(history []Event, partitions int) [][]Event {
	queues := make([][]Event, partitions)
	for _, e := range history {
		part := int(e.Order[0]) % partitions
		queues[part] = append(queues[part], e)
	}
	return queues
}

// repeat has some of the events delivered again, later, at other offsets.
func (c *coming) repeat(queue []Event) (all []Event) {
	offset := int64(0)
	add := func(e Event) {
		e.Offset = offset
		all = append(all, e)
		offset += 1 + int64(c.r.IntN(8)/7) // control records have offsets too
	}
	for i, e := range queue {
		add(e)
		if c.r.IntN(10) == 0 {
			add(queue[c.r.IntN(i+1)])
			c.repeated++
		}
	}
	return all
}

func (c *coming) claim(ctx context.Context) (err error) {
	c.parts, err = c.project(ctx, c.writer, len(c.queues))
	fmt.Fprint(&c.steps, "\nclaimed by a new owner")
	return err
}

func (c *coming) all(ctx context.Context) error {
	again := c.queues
	if err := c.come(ctx); err != nil {
		return err
	}
	if err := c.holds(ctx, c.history, c.repeated); err != nil {
		return err
	}
	fmt.Fprint(&c.steps, "\nall of it again")
	c.queues = make([][]Event, len(again))
	for part, queue := range again {
		for _, e := range queue {
			e.Offset += 1 + queue[len(queue)-1].Offset
			c.queues[part] = append(c.queues[part], e)
		}
		c.repeated += len(queue)
	}
	if err := c.come(ctx); err != nil {
		return err
	}
	return c.holds(ctx, c.history, c.repeated)
}

// come applies what is to come, a batch of any size of any partition at a time.
func (c *coming) come(ctx context.Context) error {
	c.queues = slices.Clone(c.queues)
	for {
		var left []int
		for part, queue := range c.queues {
			if len(queue) > 0 {
				left = append(left, part)
			}
		}
		if len(left) == 0 {
			return nil
		}
		part := left[c.r.IntN(len(left))]
		n := 1 + c.r.IntN(len(c.queues[part]))
		fmt.Fprintf(&c.steps, "\n%d events of partition %d", n, part)
		if err := c.parts[part](ctx, c.queues[part][:n]); err != nil {
			return err
		}
		c.queues[part] = c.queues[part][n:]
		if c.r.IntN(4) == 0 {
			if err := c.claim(ctx); err != nil {
				return err
			}
		}
	}
}

// atCommit lets the commits of partition 0 wait for an advisory lock, with the locks of all rows that they have written.
const atCommit = `
CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(1);
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER wait_at_commit AFTER UPDATE ON projection_offsets DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (new.part = 0 AND new.next_offset > old.next_offset) EXECUTE FUNCTION wait_at_commit()`

const waiting = `
SELECT count(*) > 0
FROM pg_locks
WHERE locktype = 'advisory'
  AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

// apart has a batch of each of three partitions change the rows of the same customers, items and minutes: first all of them,
// then partition 0 stands still at its commit while the others go on.
func (w *world) apart(ctx context.Context, seed uint64) error {
	if err := w.migrate(ctx); err != nil {
		return err
	}
	history := History(seed, 60, 600)
	parts, err := w.project(ctx, w.writer, 3)
	if err != nil {
		return err
	}
	queues := spread(history, len(parts))
	for part, queue := range queues {
		if err := parts[part](ctx, queue[:len(queue)/2]); err != nil {
			return err
		}
		queues[part] = queue[len(queue)/2:]
	}
	if _, err := w.owner.Exec(ctx, atCommit); err != nil {
		return err
	}
	barrier, err := w.owner.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = barrier.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := barrier.Exec(ctx, "SELECT pg_advisory_xact_lock(1)"); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error { return parts[0](ctx, queues[0]) })
	if err := w.until(ctx, waiting); err != nil {
		return err
	}
	for part := 1; part < len(parts); part++ {
		if err := parts[part](ctx, queues[part]); err != nil {
			return fmt.Errorf("partition %d, while a batch of partition 0 is being committed: %w", part, err)
		}
	}
	if err := barrier.Rollback(ctx); err != nil {
		return err
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return w.holds(ctx, history, 0)
}
