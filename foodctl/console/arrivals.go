package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// arrivals notes when events came to the topic and to the read model, of the newest events, and what the topic's partitions have.
type arrivals struct {
	mu           sync.Mutex // guards what follows
	published    map[version]published
	applied      map[version]time.Time
	order        []version // of published, the oldest first
	appliedOrder []version
	partitions   map[int32]*partition
	transactions *broker.Count
	newest       time.Time // when the last event came to the topic
}

// version is an event, by its order and its place in it.
type version struct {
	order uuid.UUID
	n     int64
}

type published struct {
	committed, at time.Time // in Postgres, and here
	partition     int32
	offset        int64
}

// partition is what the topic has in one of its partitions.
type partition struct {
	events int64
	last   time.Time
}

// remembered is of how many events it is known when they came: more than any page shows.
const remembered = 4096

func newArrivals() *arrivals {
	a := new(arrivals)
	a.Reset()
	return a
}

// Reset implements status.Observer.
func (a *arrivals) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.published, a.applied, a.partitions = make(map[version]published), make(map[version]time.Time), make(map[int32]*partition)
	a.order, a.appliedOrder, a.transactions, a.newest = nil, nil, broker.NewCount(), time.Time{}
}

// Prepare implements status.Observer.
func (*arrivals) Prepare(context.Context, []status.Read) {}

// Judge implements status.Observer.
func (a *arrivals) Judge(r status.Read, fresh bool, _ *status.Bits) {
	if !fresh {
		return
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.partitions[r.Partition]
	if p == nil {
		p = new(partition)
		a.partitions[r.Partition] = p
	}
	p.events++
	if !r.New {
		now = r.Timestamp // it has been there for long: since then, or nearly
	}
	p.last, a.newest = now, now
	v := version{r.Event.Order, r.Event.Version}
	a.published[v] = published{r.Timestamp, now, r.Partition, r.Offset}
	if a.order = append(a.order, v); len(a.order) > remembered {
		delete(a.published, a.order[0])
		a.order = a.order[1:]
	}
}

// Control implements status.Observer.
func (a *arrivals) Control(r *kgo.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.transactions.Add(r)
}

// stages says what is known of an event.
func (a *arrivals) stages(v version) (p published, isPublished bool, applied time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, isPublished = a.published[v]
	return p, isPublished, a.applied[v]
}

// apply notes that events were seen in the read model.
func (a *arrivals) apply(seen []version) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, v := range seen {
		a.applied[v] = now
		if a.appliedOrder = append(a.appliedOrder, v); len(a.appliedOrder) > remembered {
			delete(a.applied, a.appliedOrder[0])
			a.appliedOrder = a.appliedOrder[1:]
		}
	}
}

// topic is what the topic has: its partitions by number, the newest event, and the transactions that were broken off.
func (a *arrivals) topic(partitions int) (parts []partition, newest time.Time, aborted int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for part := range a.partitions {
		partitions = max(partitions, int(part)+1)
	}
	parts = make([]partition, partitions)
	for part, p := range a.partitions {
		parts[part] = *p
	}
	return parts, a.newest, a.transactions.Total().Transactions
}

// followEvery is how exactly the page knows when an event was applied, while somebody looks.
const followEvery = 250 * time.Millisecond

// What the read model has applied of each partition behind a position, which counts events as they are applied. The limit in each of
// them is what keeps the planner from reading the whole table instead of its index.
const selectApplied = `
SELECT t.order_id, t.version, f.part, t.position
FROM unnest($1::integer[], $2::bigint[]) AS f (part, position),
     LATERAL (
       SELECT order_id, version, position
       FROM order_timeline
       WHERE part = f.part
         AND position > f.position
       ORDER BY position
       LIMIT 1000
     ) AS t`

// Where each partition of the read model is.
const selectPositions = `
SELECT o.part, coalesce((SELECT max(position) FROM order_timeline AS t WHERE t.part = o.part), 0)
FROM projection_offsets AS o
WHERE o.topic = $1`

// followReadModel notes what the read model applies, while somebody looks, from when he begins to.
func (c *Console) followReadModel(ctx context.Context) {
	var at map[int32]int64 // nil: not known
	for ctx.Err() == nil {
		var err error
		switch {
		case !c.hub.watched():
			at = nil
		case at == nil:
			at, err = c.positions(ctx)
		default:
			err = c.newlyApplied(ctx, at)
		}
		if err != nil || len(at) == 0 {
			at = nil // the next look at everything says why, or nothing was applied yet
		}
		if ops.Sleep(ctx, followEvery) != nil {
			return
		}
	}
}

func (c *Console) positions(ctx context.Context) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	at := make(map[int32]int64)
	var part int32
	var position int64
	rows, _ := c.readModel.Query(ctx, selectPositions, c.cfg.Topic) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&part, &position}, func() error {
		at[part] = position
		return nil
	})
	return at, err
}

func (c *Console) newlyApplied(ctx context.Context, at map[int32]int64) error {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	parts, positions := make([]int32, 0, len(at)), make([]int64, 0, len(at))
	for part, position := range at {
		parts, positions = append(parts, part), append(positions, position)
	}
	var (
		v    version
		part int32
		seen []version
		pos  int64
	)
	rows, _ := c.readModel.Query(ctx, selectApplied, parts, positions) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&v.order, &v.n, &part, &pos}, func() error {
		at[part] = max(at[part], pos)
		seen = append(seen, v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("what the read model applies: %w", err)
	}
	c.arrivals.apply(seen)
	return nil
}
