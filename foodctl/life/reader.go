package life

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/readonly"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
)

// Config says where the system is.
type Config struct {
	OrdersURL    string
	ReadModelURL string
	Brokers      []string
	Security     kafka.Security
	Topic        string
}

// Reader reads lives. It is safe for concurrent use.
type Reader struct {
	orders    *pgxpool.Pool
	readModel *pgxpool.Pool
	client    *kgo.Client
	topic     string
}

// Bounds of one look. What a place does not say by then is not known.
const (
	patience  = 5 * time.Second // of all
	topicTime = 2 * time.Second // of the topic
	sessions  = 4               // with each database
)

// sessionName is how Postgres knows the sessions.
const sessionName = "foodctl order"

// Open prepares to read. It connects when the first life is read, so that it succeeds while a place is down. The caller must
// close the reader.
func Open(ctx context.Context, c Config) (*Reader, error) {
	orders, err := readonly.Pool(ctx, c.OrdersURL, sessionName, sessions)
	if err != nil {
		return nil, fmt.Errorf("orders database: %w", err)
	}
	readModel, err := readonly.Pool(ctx, c.ReadModelURL, sessionName, sessions)
	if err != nil {
		orders.Close()
		return nil, fmt.Errorf("read model's database: %w", err)
	}
	client, err := kgo.NewClient(append(c.Security.Options(), kgo.SeedBrokers(c.Brokers...), kgo.ClientID("foodctl-order"))...)
	if err != nil {
		orders.Close()
		readModel.Close()
		return nil, err
	}
	return &Reader{orders: orders, readModel: readModel, client: client, topic: c.Topic}, nil
}

// Close ends the connections.
func (r *Reader) Close() {
	r.orders.Close()
	r.readModel.Close()
	r.client.Close()
}

// Read looks an order up. It returns an error that wraps ErrUnknown if nobody knows it, and another one if the orders
// database does not answer; what the others do not answer is in the Life's Trouble.
//
// It asks backwards along the way, so that an event which moves meanwhile is not seen at a place before it was seen at the
// one before: first the read model, then the orders database, then the topic for what neither has said.
func (r *Reader) Read(ctx context.Context, id uuid.UUID) (Life, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	applied, errApplied := r.applied(ctx, id)
	written, err := r.written(ctx, id)
	if err != nil {
		return Life{}, fmt.Errorf("orders database: %w", err)
	}
	l := merge(id, r.topic, written, applied)
	if errApplied != nil {
		l.Trouble = append(l.Trouble, oneLine("the read model's database does not answer: %v", errApplied))
	}
	l.customer()
	if l.Version == 0 && len(l.Events) == 0 {
		return Life{}, fmt.Errorf("%w: %s", errors.Join(ErrUnknown, errApplied), id)
	}
	if err := r.records(ctx, &l, applied); err != nil {
		l.Trouble = append(l.Trouble, oneLine("topic %s: %v", r.topic, err))
	}
	return l, nil
}

// oneLine is fmt.Sprintf without the line breaks that some errors have.
func oneLine(format string, args ...any) string {
	return strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
}

// merge puts together what the databases say. An event that only the read model has is shown as well: it must not be. One of
// which the read model has another event with the same version is not applied.
func merge(id uuid.UUID, topic string, w written, a applied) Life {
	l := Life{
		Order: id, Customer: w.customer, Fulfilment: w.fulfilment, Payment: w.payment, Version: w.version,
		ReadModel: a.version, Blocked: a.blocked, Topic: topic, Events: w.events, Trouble: []string{},
	}
	for version, e := range a.events {
		i, has := slices.BinarySearchFunc(l.Events, version, func(e Event, v int64) int { return int(e.Version - v) })
		if !has {
			l.Events = slices.Insert(l.Events, i, Event{Version: version, Type: e.kind, ID: e.id, At: e.at})
		}
		l.Events[i].take(e)
	}
	for i := range l.Events {
		e := &l.Events[i]
		e.Partition, e.Offset, e.AppliedAt = nowhere, nowhere, nowhere
		place, known := a.events[e.Version]
		if !known || place.offset < 0 {
			continue
		}
		e.Partition, e.Offset = place.partition, place.offset
		if e.Applied {
			e.AppliedAt = place.offset
		}
	}
	return l
}

// take notes what the read model has of the event's version. A letter has no id.
func (e *Event) take(a appliedEvent) {
	if !a.parked && a.id != e.ID {
		e.Other = a.id
		return
	}
	e.Applied = !a.parked
}

// inSnapshot runs f with the database as it is at one moment.
func inSnapshot(ctx context.Context, db *pgxpool.Pool, f func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
}
