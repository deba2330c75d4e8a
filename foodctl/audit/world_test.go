package audit_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is a pipeline whose relay and projector are the test itself, so that it can do wrong what they do right. One
// goroutine at a time uses orders, and one publishes and projects.
type world struct {
	t          testing.TB
	cfg        audit.Config
	orders     *pgx.Conn
	source     *pgx.Conn // the relay's and the projector's
	model      *pgx.Conn
	producer   *kgo.Client
	admin      *kadm.Client
	topicID    uuid.UUID
	partitions int32

	published int64                 // highest seq that was published
	last      []string              // by partition
	events    int64                 // published
	commits   int64                 // source transactions published
	save      func(map[string]any)  // may change a checkpoint before it is written
	moved     map[uuid.UUID][]int64 // partition and offset of each published event
	parked    map[uuid.UUID]bool    // events that are to be dead letters
}

// newWorld makes an empty pipeline with four partitions, the last of which stays empty. It has neither slot nor read
// model.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, partitions: 4, last: make([]string, 4), save: func(map[string]any) {}, moved: map[uuid.UUID][]int64{}}
	brokers := testenv.Broker(t)
	w.cfg = audit.Config{
		OrdersURL: testenv.Orders(t), Brokers: strings.Split(brokers, ","), Topic: testenv.Topic(t, brokers, w.partitions), Timeout: time.Minute,
	}
	w.orders, w.source = dial(t, w.cfg.OrdersURL), dial(t, w.cfg.OrdersURL)
	w.producer = w.newProducer()
	w.admin = kadm.NewClient(w.producer)
	details, err := w.admin.ListTopics(t.Context(), w.cfg.Topic)
	if err != nil {
		t.Fatal(err)
	}
	w.topicID = uuid.UUID(details[w.cfg.Topic].ID)
	return w
}

func (w *world) newProducer() *kgo.Client {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cfg.Brokers...), kgo.TransactionalID(testenv.Name(w.t)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

func dial(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Log(err)
		}
	})
	exec(t, conn, "SET timezone = 'UTC'")
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	tag, err := conn.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if strings.HasPrefix(sql, "UPDATE") && tag.RowsAffected() == 0 || strings.HasPrefix(sql, "DELETE") && tag.RowsAffected() == 0 {
		t.Fatalf("%s: no row was changed", sql)
	}
}

// withModel gives the world a read model.
func (w *world) withModel() *world {
	w.t.Helper()
	w.cfg.ReadModelURL = testenv.ReadModel(w.t)
	w.model = dial(w.t, w.cfg.ReadModelURL)
	return w
}

// withSlot gives the world a slot and a checkpoint topic.
func (w *world) withSlot() *world {
	w.t.Helper()
	w.cfg.Slot = testenv.Name(w.t)
	exec(w.t, w.source, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", w.cfg.Slot)
	if _, err := w.admin.CreateTopic(w.t.Context(), 1, 1, nil, w.checkpointTopic()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if _, err := w.admin.DeleteTopics(context.Background(), w.checkpointTopic()); err != nil {
			w.t.Log(err)
		}
	})
	return w
}

func (w *world) checkpointTopic() string { return w.cfg.Topic + ".checkpoint." + w.cfg.Slot }

// lives are orders' histories that have every type of event between them.
var lives = [][]order.Command{
	{
		pay, accept,
		order.StartPreparing{},
		order.MarkReady{},
		order.Dispatch{Courier: "Kim"},
		order.ConfirmDelivery{},
		order.AddTip{Amount: eur(200)},
		order.Rate{Stars: 5},
		order.RequestRefund{Amount: eur(100), Reason: "cold"},
		order.IssueRefund{},
		order.RequestRefund{Amount: eur(50), Reason: "late"},
		order.DenyRefund{Reason: "was not"},
	},
	{pay, order.Amend{Lines: lines[1:2]}, accept},
	{pay, accept, order.MarkItemUnavailable{ItemID: 5}, order.StartPreparing{}},
	{pay, accept, order.StartPreparing{}, order.MarkReady{}},
	{order.FailPayment{Reason: "declined"}, order.Cancel{By: "customer", Reason: "no money"}},
	{pay, accept, order.StartPreparing{}, order.Cancel{By: "kitchen", Reason: "burnt"}},
	{order.Expire{}},
	{},
}

var (
	pay    = order.AuthorizePayment{}
	accept = order.Accept{ReadyAt: time.Date(2026, 11, 23, 12, 40, 0, 0, time.UTC)}
	lines  = []event.Line{
		{ItemID: 5, Name: "Margherita Pizza", Quantity: 1, UnitPrice: eur(950)},
		{ItemID: 13, Name: "French Fries", Quantity: 2, UnitPrice: eur(390)},
	}
)

func eur(minor int64) event.Money { return event.Money{Minor: minor, Currency: "EUR"} }

// live writes orders that each go through one of the lives, each command a transaction.
func (w *world) live(orders int) {
	w.t.Helper()
	for i := range orders {
		id := uuid.Must(uuid.NewV7())
		at := time.Date(2026, 11, 23, 11, 58, 0, 0, time.UTC).Add(time.Duration(i) * 17 * time.Second)
		o := w.do(id, order.Order{}, order.Place{CustomerID: i%7 + 1, Service: event.Delivery, Lines: lines}, at)
		for _, cmd := range lives[i%len(lives)] {
			at = at.Add(11 * time.Second)
			o = w.do(id, o, cmd, at)
		}
	}
}

func (w *world) do(id uuid.UUID, o order.Order, cmd order.Command, at time.Time) order.Order {
	w.t.Helper()
	data, err := order.Decide(o, cmd, at)
	if err != nil {
		w.t.Fatalf("%s at version %d: %v", cmd.Name(), o.Version, err)
	}
	var events []event.Event
	for _, d := range data {
		e, err := event.New(id, o.Version+1, at, d)
		if err != nil {
			w.t.Fatal(err)
		}
		e.Headers = map[string]string{event.HeaderActor: "test", event.HeaderCorrelationID: e.ID.String()}
		o = order.Apply(o, e.Version, e.At, d)
		events = append(events, e)
	}
	w.write(id, o, events)
	return o
}

func (w *world) write(id uuid.UUID, o order.Order, events []event.Event) {
	w.t.Helper()
	state, err := json.Marshal(o)
	if err != nil {
		w.t.Fatal(err)
	}
	b := &pgx.Batch{} // sent as one transaction
	b.Queue(`INSERT INTO orders (id, customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET fulfilment = $3, payment = $4, version = $5, total_minor = $6, state = $8, updated_at = $10`,
		id, o.CustomerID, string(o.Fulfilment), string(o.Payment), o.Version, o.Total.Minor, o.Total.Currency, state, o.PlacedAt, o.UpdatedAt)
	if _, err := outbox.Queue(b, events); err != nil {
		w.t.Fatal(err)
	}
	if err := w.orders.SendBatch(w.t.Context(), b).Close(); err != nil {
		w.t.Fatal(err)
	}
}

// unpublished shapes the rows that the topic lacks as records, in the transactions in which they were written.
func (w *world) unpublished() []*kgo.Record {
	w.t.Helper()
	rows, _ := w.source.Query(w.t.Context(), `
		SELECT seq::text, id::text, aggregateid::text, type, version::text, payload::text, headers::text, occurred_at::text, xmin::text
		FROM outbox
		WHERE seq > $1
		ORDER BY outbox.seq`, w.published)
	type sourced struct {
		outbox.Row
		xmin string
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s sourced, err error) {
		s.AggregateType = []byte(event.AggregateOrder)
		err = row.Scan((*text)(&s.Seq), (*text)(&s.ID), (*text)(&s.AggregateID), (*text)(&s.Type), (*text)(&s.Version),
			(*text)(&s.Payload), (*text)(&s.Headers), (*text)(&s.OccurredAt), &s.xmin)
		return s, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var records []*kgo.Record
	index := 0
	for i, row := range list {
		if index++; i == 0 || row.xmin != list[i-1].xmin {
			w.commits++
			index = 0
		}
		last := i == len(list)-1 || list[i+1].xmin != row.xmin
		rec, err := topic.Record(w.cfg.Topic, row.Row, topic.Source{
			Name: "/orders", Commit: outbox.LSN(w.commits), Committed: time.Now(), Index: index, Last: last,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		hash := fnv.New32()
		hash.Write(rec.Key)
		rec.Partition = int32(hash.Sum32() % uint32(w.partitions-1))
		records = append(records, rec)
		w.published, _ = strconv.ParseInt(string(row.Seq), 10, 64)
	}
	return records
}

// text scans a text column into bytes.
type text []byte

// ScanText implements pgtype.TextScanner.
func (s *text) ScanText(v pgtype.Text) error {
	*s = nil
	if v.Valid {
		*s = []byte(v.String)
	}
	return nil
}

// publish writes the records, and with a slot the checkpoint, in one transaction, and acknowledges it. An aborted
// transaction with the same records goes before and after it.
func (w *world) publish(records []*kgo.Record) {
	w.t.Helper()
	w.transact(copies(records), kgo.TryAbort)
	end := w.flushed()
	all := records
	if w.cfg.Slot != "" {
		all = append(all[:len(all):len(all)], w.checkpoint(records, end))
	}
	w.transact(all, kgo.TryCommit)
	w.keep(records)
	if w.cfg.Slot != "" {
		exec(w.t, w.source, "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)", w.cfg.Slot, end)
	}
	w.transact(copies(records), kgo.TryAbort)
}

// keep notes where the records are.
func (w *world) keep(records []*kgo.Record) {
	for _, rec := range records {
		if id, err := topic.ID(rec); err == nil {
			w.moved[uuid.MustParse(id)] = []int64{int64(rec.Partition), rec.Offset}
		}
	}
}

func (w *world) transact(records []*kgo.Record, how kgo.TransactionEndTry) {
	w.t.Helper()
	if len(records) == 0 {
		return
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
}

func copies(records []*kgo.Record) []*kgo.Record {
	list := make([]*kgo.Record, len(records))
	for i, rec := range records {
		list[i] = &kgo.Record{Topic: rec.Topic, Partition: rec.Partition, Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
	}
	return list
}

// flushed is the end of the source's log on disk.
func (w *world) flushed() (lsn string) {
	w.t.Helper()
	if err := w.source.QueryRow(w.t.Context(), "SELECT pg_current_wal_flush_lsn()::text").Scan(&lsn); err != nil {
		w.t.Fatal(err)
	}
	return lsn
}

// checkpoint is the record that says what is in the topic once the records are.
func (w *world) checkpoint(records []*kgo.Record, end string) *kgo.Record {
	w.t.Helper()
	for _, rec := range records {
		w.last[rec.Partition], _ = topic.ID(rec)
	}
	w.events += int64(len(records))
	var system string
	if err := w.source.QueryRow(w.t.Context(), "SELECT system_identifier::text FROM pg_control_system()").Scan(&system); err != nil {
		w.t.Fatal(err)
	}
	c := map[string]any{
		"format": 1, "phase": "streaming", "slot": w.cfg.Slot,
		"source":   map[string]any{"system_id": system, "timeline": 1},
		"target":   map[string]any{"topic_id": w.topicID, "partitions": w.partitions},
		"position": map[string]any{"end_lsn": end}, "last_events": w.last, "events": w.events,
	}
	w.save(c)
	value, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	if raw, has := c["raw"]; has {
		value = []byte(fmt.Sprint(raw))
	}
	return &kgo.Record{Topic: w.checkpointTopic(), Key: []byte(w.cfg.Slot), Value: value}
}

//go:embed testdata/readmodel.sql
var projection string

// project makes the read model anew, in one transaction, out of the events that were published.
func (w *world) project() {
	w.t.Helper()
	ctx := w.t.Context()
	rows, _ := w.source.Query(ctx, "SELECT id, aggregateid, type, version, payload, occurred_at FROM outbox")
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) {
		v, err := row.Values()
		return v, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	next, applied := make([]int64, w.partitions), make([]int64, w.partitions)
	var src [][]any
	for _, v := range list {
		place, published := w.moved[uuid.UUID(v[0].([16]byte))]
		if !published {
			continue
		}
		part := place[0]
		next[part] = max(next[part], place[1]+1)
		if w.parked[uuid.UUID(v[0].([16]byte))] {
			continue
		}
		applied[part]++
		src = append(src, append(v, int32(part)))
	}
	err = pgx.BeginFunc(ctx, w.model, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			DELETE FROM projection_offsets; -- TRUNCATE would wait for the readers whose snapshots it shall disturb
			DELETE FROM order_summary;
			DELETE FROM order_timeline;
			DELETE FROM customer_stats_shard;
			DELETE FROM item_popularity_shard;
			DELETE FROM revenue_minute_shard;
			DELETE FROM kitchen_board;
			DELETE FROM dead_letters;
			CREATE TEMP TABLE src (id uuid, aggregateid uuid, type text, version bigint, payload json, occurred_at timestamptz,
				part int) ON COMMIT DROP`)
		if err != nil {
			return err
		}
		columns := []string{"id", "aggregateid", "type", "version", "payload", "occurred_at", "part"}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"src"}, columns, pgx.CopyFromRows(src)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "CREATE INDEX ON src (aggregateid); ANALYZE src;"+projection); err != nil {
			return err
		}
		for part := range w.partitions {
			_, err := tx.Exec(ctx, `INSERT INTO projection_offsets (topic, part, topic_id, next_offset, claim, owner, applied_events)
				VALUES ($1, $2, $3, $4, gen_random_uuid(), 'test', $5)`, w.cfg.Topic, part, w.topicID, next[part], applied[part])
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// park makes the read model anew as it is when an order's second event is missing: it and all behind it are dead letters. It returns how
// many.
func (w *world) park() int {
	w.t.Helper()
	const select2 = `SELECT id, version FROM outbox
		WHERE version >= 2 AND aggregateid = (SELECT aggregateid FROM outbox WHERE version = 3 ORDER BY aggregateid LIMIT 1)`
	rows, _ := w.source.Query(w.t.Context(), select2) //nolint:rowserrcheck // ForEachRow checks it
	var (
		id      uuid.UUID
		version int64
		letters = &pgx.Batch{}
	)
	w.parked = make(map[uuid.UUID]bool)
	_, err := pgx.ForEachRow(rows, []any{&id, &version}, func() error {
		w.parked[id] = true
		letters.Queue(`INSERT INTO dead_letters (topic, part, record_offset, version, reason, error, headers, recorded_at)
			VALUES ($1, $2, $3, $4, 'hole', 'for a test', '[]', now())`, w.cfg.Topic, w.moved[id][0], w.moved[id][1], version)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.project()
	if err := w.model.SendBatch(w.t.Context(), letters).Close(); err != nil {
		w.t.Fatal(err)
	}
	return len(w.parked)
}

// acknowledge tells Postgres again and again, until stop, that everything is published, as an idle relay does.
func (w *world) acknowledge() (stop func()) {
	w.t.Helper()
	conn := dial(w.t, w.cfg.OrdersURL)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stopped:
				return
			default:
			}
			// Not broken off by stop: the server would hold the slot for a moment longer.
			_, err := conn.Exec(w.t.Context(), `
				SELECT pg_logical_emit_message(true, 'test', 'the log goes on');
				SELECT pg_replication_slot_advance('`+w.cfg.Slot+`', pg_current_wal_flush_lsn())`)
			if err != nil && w.t.Context().Err() == nil {
				w.t.Error(err)
				return
			}
		}
	}()
	return func() { close(stopped); <-ended }
}

// audit runs the audit, which must come to a report.
func (w *world) audit() audit.Report {
	w.t.Helper()
	report, err := audit.Run(w.t.Context(), w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// show logs the report as people see it.
func show(t testing.TB, r audit.Report) {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
}
