package life_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/life"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

func TestMain(m *testing.M) { testenv.Main(m) }

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"

// world is a system in which the test itself is the orderservice, the relay and the projector.
type world struct {
	t         *testing.T
	cfg       life.Config
	orders    *pgx.Conn
	readModel *pgx.Conn
	producer  *kgo.Client
	reader    *life.Reader
}

func newWorld(t *testing.T) *world {
	t.Helper()
	brokers := testenv.Broker(t)
	w := &world{t: t, cfg: life.Config{
		OrdersURL: testenv.Orders(t), ReadModelURL: testenv.ReadModel(t), Brokers: strings.Split(brokers, ","),
		Topic: testenv.Topic(t, brokers, topic.Partitions),
	}}
	w.orders, w.readModel = dial(t, w.cfg.OrdersURL), dial(t, w.cfg.ReadModelURL)
	w.connect()
	w.reader = w.open(w.cfg)
	return w
}

// connect makes the producer.
func (w *world) connect() {
	w.t.Helper()
	var err error
	if w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.cfg.Brokers...), kgo.TransactionalID(testenv.Name(w.t))); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.producer.Close)
}

func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (w *world) open(cfg life.Config) *life.Reader {
	w.t.Helper()
	r, err := life.Open(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r
}

func (w *world) exec(conn *pgx.Conn, sql string, args ...any) {
	w.t.Helper()
	if _, err := conn.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// write writes so many events of a new order.
func (w *world) write(n int64) (uuid.UUID, []event.Event) {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7())
	var events []event.Event
	for v := range n {
		e, err := event.New(id, v+1, time.Now(), event.OrderRated{Stars: 5})
		if err != nil {
			w.t.Fatal(err)
		}
		e.Headers = map[string]string{event.HeaderTraceparent: "00-" + trace + "-00f067aa0ba902b7-01"}
		events = append(events, e)
	}
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO orders (id, customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at)
		VALUES ($1, 7, 'confirmed', 'authorized', $2, 100, 'EUR', '{}', now(), now())`, id, n)
	if _, err := outbox.Queue(b, events); err != nil {
		w.t.Fatal(err)
	}
	if err := w.orders.SendBatch(w.t.Context(), b).Close(); err != nil {
		w.t.Fatal(err)
	}
	return id, events
}

const commit outbox.LSN = 0x1_00000AB0

// publish writes the events in a Kafka transaction, as the events of one source transaction.
func (w *world) publish(events []event.Event, how kgo.TransactionEndTry) []*kgo.Record {
	w.t.Helper()
	var records []*kgo.Record
	for i, e := range events {
		r, err := topic.Record(w.cfg.Topic, outbox.Row{
			Seq: []byte("1"), ID: []byte(e.ID.String()), AggregateType: []byte("order"), AggregateID: []byte(e.Order.String()),
			Type: []byte(e.Type), Version: fmt.Append(nil, e.Version), Payload: e.Payload, OccurredAt: []byte("2026-11-23 04:22:00+00"),
			Headers: []byte(`{"traceparent":"` + e.Headers[event.HeaderTraceparent] + `"}`),
		}, topic.Source{Name: "/orders", Commit: commit, Committed: e.At.Add(3 * time.Millisecond), Index: i, Last: i == len(events)-1})
		if err != nil {
			w.t.Fatal(err)
		}
		records = append(records, r)
	}
	if err := w.producer.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.producer.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.producer.EndTransaction(w.t.Context(), how); err != nil {
		w.t.Fatal(err)
	}
	w.visible(records[len(records)-1])
	return records
}

// visible waits until readers can pass the marker behind a transaction's last record: Kafka writes it behind its answer.
func (w *world) visible(last *kgo.Record) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		ends, err := kadm.NewClient(w.producer).ListCommittedOffsets(ctx, w.cfg.Topic)
		if err != nil {
			w.t.Fatal(err)
		}
		if end, _ := ends.Lookup(w.cfg.Topic, last.Partition); end.Offset > last.Offset+1 {
			return
		}
	}
}

// apply makes the read model reflect the records, and all that is before them in their partition.
func (w *world) apply(events []event.Event, records []*kgo.Record) {
	w.t.Helper()
	for i, e := range events {
		w.exec(w.readModel, `INSERT INTO order_timeline (order_id, version, event_id, type, at, part, record_offset) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			e.Order, e.Version, e.ID, string(e.Type), e.At, records[i].Partition, records[i].Offset)
		w.exec(w.readModel, `INSERT INTO order_summary (order_id, customer_id, service, fulfilment, payment, version, total_minor, captured_minor,
				refunded_minor, tip_minor, currency, lines, placed_at, updated_at)
			VALUES ($1, 7, 'pickup', 'confirmed', 'authorized', $2, 100, 0, 0, 0, 'EUR', '[]', now(), now())
			ON CONFLICT (order_id) DO UPDATE SET version = $2`, e.Order, e.Version)
		w.position(records[i].Partition, records[i].Offset+1)
	}
}

func (w *world) position(part int32, next int64) {
	w.t.Helper()
	w.exec(w.readModel, `INSERT INTO projection_offsets (topic, part, topic_id, next_offset, claim, owner)
		VALUES ($1, $2, gen_random_uuid(), $3, gen_random_uuid(), 'test')
		ON CONFLICT (topic, part) DO UPDATE SET next_offset = $3`, w.cfg.Topic, part, next)
}

func (w *world) read(id uuid.UUID) life.Life {
	w.t.Helper()
	l, err := w.reader.Read(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// remake deletes the topic and makes it anew, empty.
func (w *world) remake() {
	w.t.Helper()
	admin := kadm.NewClient(w.producer)
	if _, err := admin.DeleteTopic(w.t.Context(), w.cfg.Topic); err != nil {
		w.t.Fatal(err)
	}
	for { // the brokers delete it in their time
		_, err := admin.CreateTopic(w.t.Context(), topic.Partitions, -1, nil, w.cfg.Topic)
		if err == nil {
			break
		}
		if w.t.Context().Err() != nil {
			w.t.Fatal(err)
		}
	}
	w.connect() // the other one goes on with the old topic
	testenv.AwaitTopic(w.t, w.producer, w.cfg.Topic)
}

func text(t *testing.T, l life.Life) string {
	t.Helper()
	var b strings.Builder
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
