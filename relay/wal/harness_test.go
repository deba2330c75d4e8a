package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

// patience is for what must come; a machine under load may be slow.
const patience = 60 * time.Second

// source is a database with a slot.
type source struct {
	t    *testing.T
	url  string
	slot string
	db   *pgx.Conn
}

func setup(t *testing.T) *source {
	t.Helper()
	s := setupWithoutSlot(t)
	conn := s.replication()
	if _, _, err := CreateSlot(t.Context(), conn, s.slot); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func setupWithoutSlot(t *testing.T) *source {
	t.Helper()
	s := &source{t: t, url: testenv.Orders(t), slot: testenv.Name(t)}
	s.db = s.connect()
	return s
}

func (s *source) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *source) replication() *pgconn.PgConn {
	s.t.Helper()
	conn, err := Connect(s.t.Context(), s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *source) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// inspect returns what the server says of the slot.
func (s *source) inspect() Slot {
	s.t.Helper()
	slot, err := Inspect(s.t.Context(), s.db, s.slot)
	if err != nil {
		s.t.Fatal(err)
	}
	return slot
}

// executor is a connection or a transaction.
type executor interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// insert adds events of an order of their own and returns their ids.
func insert(t *testing.T, to executor, n int) []string {
	t.Helper()
	ids, err := tryInsert(t.Context(), to, n)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func tryInsert(ctx context.Context, to executor, n int) ([]string, error) {
	var (
		events []event.Event
		ids    []string
	)
	order := uuid.New()
	for i := range n {
		e, err := event.New(order, int64(i+1), time.Now(), event.OrderRejected{Reason: fmt.Sprint(i)})
		if err != nil {
			return nil, err
		}
		events, ids = append(events, e), append(ids, e.ID.String())
	}
	var b pgx.Batch
	if _, err := outbox.Queue(&b, events); err != nil {
		return nil, err
	}
	return ids, to.SendBatch(ctx, &b).Close()
}

func beginTx(t *testing.T, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func commitTx(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// reader is a stream that runs until stop.
type reader struct {
	*Stream

	t       *testing.T
	cancel  context.CancelFunc
	done    chan error
	pending []Message
	seen    []Message // all that next has returned
}

// stream opens the slot. It is closed at the end of the test, if not before.
func (s *source) stream() *reader {
	s.t.Helper()
	stream, err := Open(s.t.Context(), s.replication(), s.slot, layout.Own())
	if err != nil {
		s.t.Fatal(err)
	}
	return run(s.t, stream)
}

func run(t *testing.T, stream *Stream) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{Stream: stream, t: t, cancel: cancel, done: make(chan error, 1)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		r.done <- stream.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-finished })
	return r
}

// stop ends the stream and returns Run's error.
func (r *reader) stop() error {
	r.cancel()
	return <-r.done
}

// next returns the next message.
func (r *reader) next() Message {
	r.t.Helper()
	if len(r.pending) == 0 {
		select {
		case chunk := <-r.Chunks():
			r.pending = chunk.Messages
		case err := <-r.done:
			r.t.Fatalf("the stream ended: %v", err)
		case <-time.After(patience):
			r.t.Fatal("nothing arrived")
		}
	}
	m := r.pending[0]
	r.pending = r.pending[1:]
	r.seen = append(r.seen, m)
	return m
}

// transaction is one that arrived.
type transaction struct {
	commit, end outbox.LSN
	at          time.Time
	ids         []string
}

// transaction reads the next one and checks its grammar.
func (r *reader) transaction() transaction {
	r.t.Helper()
	var (
		got  transaction
		last bool
	)
	for {
		switch m := r.next(); {
		case m.Kind == Idle && got.commit == 0:
		case m.Kind == Begin && got.commit == 0:
			got.commit, got.at = m.LSN, m.Time
		case m.Kind == Insert && got.commit != 0 && !last:
			got.ids, last = append(got.ids, string(m.Row.ID)), m.Last
		case m.Kind == Commit && m.LSN > got.commit && (last || len(got.ids) == 0):
			got.end = m.LSN
			return got
		default:
			r.t.Fatalf("got %+v in %+v", m, got)
		}
	}
}

// transactions reads so many and returns their events.
func (r *reader) transactions(n int) [][]string {
	r.t.Helper()
	var all [][]string
	for range n {
		all = append(all, r.transaction().ids)
	}
	return all
}

// fails waits for Run to end by itself and checks that its error says what it should.
func (r *reader) fails(want string) {
	r.t.Helper()
	late := time.After(patience)
	for {
		select {
		case err := <-r.done:
			if err == nil || !strings.Contains(err.Error(), want) {
				r.t.Errorf("got %v, want an error with %q", err, want)
			}
			return
		case <-r.Chunks():
		case <-late:
			r.t.Fatal("the stream goes on")
		}
	}
}

// wait polls until ok. The state is in the server, which tells nobody when it changes.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("timed out"))
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, context.Cause(ctx))
		}
	}
}

// told is what the relay told the server about a position, or nil for zero, and when.
type told struct {
	Write, Flush, Replay *outbox.LSN
	At                   *time.Time
	PID                  int
}

const selectTold = `
SELECT (r.write_lsn - '0/0')::bigint, (r.flush_lsn - '0/0')::bigint, (r.replay_lsn - '0/0')::bigint, r.reply_time, r.pid
FROM pg_replication_slots s
JOIN pg_stat_replication r ON r.pid = s.active_pid
WHERE s.slot_name = $1`

func (s *source) told() told {
	s.t.Helper()
	rows, err := s.db.Query(s.t.Context(), selectTold, s.slot)
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[told])
	if err != nil {
		s.t.Fatalf("the slot's connection: %v", err)
	}
	return got
}

// statusUpdates waits for so many more status updates.
func (s *source) statusUpdates(n int) {
	s.t.Helper()
	var last time.Time
	if at := s.told().At; at != nil {
		last = *at
	}
	for range n {
		wait(s.t, "a status update", func() bool {
			at := s.told().At
			if at == nil || !at.After(last) {
				return false
			}
			last = *at
			return true
		})
	}
}
