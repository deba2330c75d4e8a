package backlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// table is an outbox.
type table struct {
	t   *testing.T
	url string
	db  *pgx.Conn
}

func setup(t *testing.T) *table {
	t.Helper()
	s := &table{t: t, url: testenv.Orders(t)}
	s.db = s.connect()
	return s
}

func (s *table) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// insert adds so many events of an order of their own.
func (s *table) insert(n int) []event.Event {
	s.t.Helper()
	var events []event.Event
	order := uuid.New()
	for i := range n {
		e, err := event.New(order, int64(i+1), time.Date(2026, 11, 23, 4, 22, i, 500_000_000, time.UTC), event.OrderRated{Stars: i})
		if err != nil {
			s.t.Fatal(err)
		}
		events = append(events, e)
	}
	var b pgx.Batch
	if _, err := outbox.Queue(&b, events); err != nil {
		s.t.Fatal(err)
	}
	if err := s.db.SendBatch(s.t.Context(), &b).Close(); err != nil {
		s.t.Fatal(err)
	}
	return events
}

// export makes a snapshot, which is there until the test ends.
func (s *table) export() string {
	s.t.Helper()
	tx, err := s.connect().BeginTx(s.t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		s.t.Fatal(err)
	}
	var name string
	if err := tx.QueryRow(s.t.Context(), "SELECT pg_export_snapshot()").Scan(&name); err != nil {
		s.t.Fatal(err)
	}
	return name
}

func (s *table) open(snapshot string) *backlog.Reader {
	s.t.Helper()
	r, err := backlog.Open(s.t.Context(), s.url, snapshot, layout.Own())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

func rows(t *testing.T, r *backlog.Reader) []outbox.Row {
	t.Helper()
	var all []outbox.Row
	if err := r.Rows(t.Context(), func(row outbox.Row) error { all = append(all, clone(row)); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRowsComeInTheOrderOfSeqAsANumber(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var want []string
	for range 12 { // past 9, 99 and 999
		for _, e := range s.insert(100) {
			want = append(want, e.ID.String())
		}
	}
	r := s.open(s.export())
	var got []string
	for i, row := range rows(t, r) {
		if string(row.Seq) != fmt.Sprint(i+1) {
			t.Fatalf("row %d has seq %s", i, row.Seq)
		}
		got = append(got, string(row.ID))
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("rows (-got +want):\n%s", diff)
	}
	var ids []string
	if err := r.IDs(t.Context(), func(id []byte) { ids = append(ids, string(id)) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids, want); diff != "" {
		t.Errorf("ids (-got +want):\n%s", diff)
	}
}

// Whatever the database's own settings are, a row is the same text that the stream has.
func TestRowIsTextInUTCAndISOStyle(t *testing.T) {
	t.Parallel()
	s := setup(t)
	e := s.insert(1)[0]
	const payload = "{ \"stars\" :5,\n\"stars\":\t6, \"x\":\"\\u0041ż\"}"
	for _, statement := range []string{
		"INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at) VALUES " +
			"('01a206d7-70f5-760e-987d-37b837c4f481', 'order', '" + e.Order.String() + "', 'order.rated.v1', 2, '" + payload +
			"', '{\"actor\": \"test\"}', '2026-11-23 05:22:00+01')",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', current_database()); END $$",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET datestyle = ''German''', current_database()); END $$",
	} {
		if _, err := s.db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	text := func(s string) []byte { return []byte(s) }
	want := []outbox.Row{
		{
			Seq: text("1"), ID: text(e.ID.String()), AggregateType: text("order"), AggregateID: text(e.Order.String()),
			Type: text("order.rated.v1"), Version: text("1"), Payload: text(`{"stars":0}`), OccurredAt: text("2026-11-23 04:22:00.5+00"),
		},
		{
			Seq: text("2"), ID: text("01a206d7-70f5-760e-987d-37b837c4f481"), AggregateType: text("order"), AggregateID: text(e.Order.String()),
			Type: text("order.rated.v1"), Version: text("2"), Payload: text(payload), Headers: text(`{"actor": "test"}`),
			OccurredAt: text("2026-11-23 04:22:00+00"),
		},
	}
	if diff := cmp.Diff(rows(t, s.open(s.export())), want); diff != "" { // in which nil, for NULL, is not empty
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestRowsAreThoseOfTheSnapshotHoweverLateTheyAreRead(t *testing.T) {
	t.Parallel()
	s := setup(t)
	pending, err := s.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pending.Exec(t.Context(), `INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
VALUES (gen_random_uuid(), 'order', gen_random_uuid(), 'order.ready.v1', 1, '{}', now())`); err != nil {
		t.Fatal(err)
	}
	s.insert(3)
	snapshot := s.export()
	s.insert(1)
	r := s.open(snapshot)
	s.insert(1)
	if err := pending.Commit(t.Context()); err != nil { // has the lowest seq of all
		t.Fatal(err)
	}
	for range 2 { // the reader can be asked again
		if got := rows(t, r); len(got) != 3 {
			t.Errorf("%d rows, want the 3 of the snapshot", len(got))
		}
	}
}

func TestErrorOfTheReceiverEndsTheReading(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.insert(5)
	r := s.open(s.export())
	enough := errors.New("enough")
	n := 0
	err := r.Rows(t.Context(), func(outbox.Row) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	if got := rows(t, r); len(got) != 5 {
		t.Errorf("%d rows after it", len(got))
	}
}

func TestContextEndsTheReading(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.insert(5)
	r := s.open(s.export())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Rows(ctx, func(outbox.Row) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSnapshotThatIsGoneIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if r, err := backlog.Open(t.Context(), s.url, "00000003-0000001B-1", layout.Own()); err == nil || !strings.Contains(err.Error(), "00000003-0000001B-1") {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestPasswordIsInNoError(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://relay:hunter2@127.0.0.1:1/orders?connect_timeout=1",
		"postgres://relay:hunter2@127.0.0.1:none/orders",
		"postgres://relay:hunter2@127.0.0.1/orders?sslmode=perhaps",
	} {
		if _, err := backlog.Open(t.Context(), url, "x", layout.Own()); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

// clone copies a row out of memory that is used again.
func clone(r outbox.Row) outbox.Row {
	for _, field := range []*[]byte{
		&r.Seq, &r.ID, &r.AggregateType, &r.AggregateID, &r.Type, &r.Version, &r.Payload, &r.Headers, &r.OccurredAt,
	} {
		*field = bytes.Clone(*field)
	}
	return r
}
