package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/access"
	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// stage is where projectors are measured: a topic that holds nothing but the lives of a seed.
type stage struct {
	*servers

	names     stack.Names // of the topic, of the database for the audit, and how those of read models begin
	seed      uint64
	open      int // orders at a time
	lives     *lives
	publisher *publisher
	told      int64 // events that are in the topic
	login     access.Login
	models    int // read models so far
}

// stage makes a topic. The caller must close it.
func (s *servers) stage(ctx context.Context, name string, seed uint64, open int) (*stage, error) {
	id := s.id + "_" + name
	st := &stage{servers: s, names: stack.ScratchNames(id), seed: seed, open: open, lives: newLives(seed, open)}
	st.login = access.Login{Name: id + "_projector", Password: rand.Text(), Group: "readmodel_projector"}
	if err := s.ensureTopic(ctx, st.names.Topic); err != nil {
		return nil, err
	}
	var err error
	st.publisher, err = s.publisher(ctx, st.names.Topic)
	return st, err
}

func (st *stage) close() { st.publisher.client.Close() }

// audited makes a stage and a read model, lets do measure with them, and lets the audit judge.
func (s *servers) audited(ctx context.Context, name string, seed uint64, open int, do func(*readModel) error) (v Verdict, err error) {
	st, err := s.stage(ctx, name, seed, open)
	if err != nil {
		return v, err
	}
	defer st.close()
	m, err := st.readModel(ctx)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, m.drop(context.WithoutCancel(ctx))) }()
	if err := do(m); err != nil {
		return v, err
	}
	if err := st.source(ctx); err != nil {
		return v, err
	}
	return m.judge(ctx)
}

// publish tells the next events and publishes them in one Kafka transaction.
func (st *stage) publish(ctx context.Context, n int) (placed []position, err error) {
	events := make([]told, n)
	for i := range events {
		if events[i], err = st.lives.tell(); err != nil {
			return nil, err
		}
	}
	records, err := st.publisher.publish(ctx, events)
	if err != nil {
		return nil, err
	}
	st.told += int64(n)
	for _, r := range records {
		placed = append(placed, position{r.Partition, r.Offset})
	}
	return placed, nil
}

// position is where an event is in the topic.
type position struct {
	part   int32
	offset int64
}

// perFilling is how many events a Kafka transaction has that fills a topic: half of what a relay in a backlog takes.
const perFilling = 10_000

// fill publishes events.
func (st *stage) fill(ctx context.Context, events int64) error {
	for left := events; left > 0; left -= perFilling {
		if _, err := st.publish(ctx, int(min(left, perFilling))); err != nil {
			return err
		}
	}
	return nil
}

// source makes the orders database that the topic's events could have come from, so that the audit can judge by it. It
// tells the lives once more: what went to the topic was not kept.
func (st *stage) source(ctx context.Context) error {
	if err := st.createDatabase(ctx, st.names.OrdersDB, sql.Orders); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	events, orders := make(chan []any, 1000), make(chan []any, 1000)
	g.Go(func() error {
		defer close(events)
		defer close(orders)
		return st.retell(ctx, events, orders)
	})
	g.Go(func() error {
		return st.load(ctx, "outbox", events, "seq", "id", "aggregatetype", "aggregateid", "type", "version", "payload", "headers", "occurred_at")
	})
	g.Go(func() error {
		return st.load(ctx, "orders", orders, "id", "customer_id", "fulfilment", "payment", "version", "total_minor", "currency", "state",
			"placed_at", "updated_at")
	})
	return g.Wait()
}

// retell sends the rows of the events and, behind the last event of each, of the orders.
func (st *stage) retell(ctx context.Context, events, orders chan<- []any) error {
	again := newLives(st.seed, st.open)
	last := make(map[uuid.UUID]told)
	for seq := range st.told {
		e, err := again.tell()
		if err != nil {
			return err
		}
		headers, err := json.Marshal(e.Headers)
		if err != nil {
			return err
		}
		values := []any{seq + 1, e.ID, e.Type.Aggregate(), e.Order, string(e.Type), e.Version, []byte(e.Payload), headers, e.At}
		if err := send(ctx, events, values); err != nil {
			return err
		}
		last[e.Order] = e
	}
	for _, e := range last {
		o := e.State
		state, err := json.Marshal(o)
		if err != nil {
			return err
		}
		values := []any{
			e.Order, o.CustomerID, string(o.Fulfilment), string(o.Payment), o.Version, o.Total.Minor, o.Total.Currency, state,
			o.PlacedAt, o.UpdatedAt,
		}
		if err := send(ctx, orders, values); err != nil {
			return err
		}
	}
	return nil
}

func send(ctx context.Context, to chan<- []any, values []any) error {
	select {
	case to <- values:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load copies rows into a table.
func (st *stage) load(ctx context.Context, table string, rows <-chan []any, columns ...string) error {
	conn, err := pgx.Connect(ctx, st.urlOf(st.names.OrdersDB))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what it did is committed
	_, err = conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		select {
		case values := <-rows: // nil behind the last
			return values, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}))
	if err != nil {
		return fmt.Errorf("fill %s for the audit: %w", table, err)
	}
	return nil
}
