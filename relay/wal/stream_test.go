package wal

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

func TestTransactionsArriveInTheOrderOfTheirCommits_I3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()

	slow := beginTx(t, s.connect()) // has the lower transaction id and the lower seq
	early := insert(t, slow, 2)
	first := insert(t, s.db, 3)
	late := insert(t, slow, 1)
	second := insert(t, s.db, 1)
	commitTx(t, slow)
	third := insert(t, s.db, 1)

	got := r.transactions(4)
	want := [][]string{first, second, slices.Concat(early, late), third}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestRolledBackWorkNeverArrives_I3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()

	gone := beginTx(t, s.db)
	insert(t, gone, 5)
	if err := gone.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	tx := beginTx(t, s.db)
	kept := insert(t, tx, 1)
	savepoint, err := tx.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	insert(t, savepoint, 5)
	if err := savepoint.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	savepoint, err = tx.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept = append(kept, insert(t, savepoint, 2)...)
	nested, err := savepoint.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	insert(t, nested, 3)
	if err := nested.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	commitTx(t, savepoint) // releases it
	kept = append(kept, insert(t, tx, 1)...)
	commitTx(t, tx)
	after := insert(t, s.db, 1)

	if diff := cmp.Diff(r.transactions(2), [][]string{kept, after}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestRowsOfOneCopyArriveWholeAndOnlyTheLastIsMarked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	const rows = 1000
	order := uuid.New()
	var want []string
	n, err := s.db.CopyFrom(t.Context(), pgx.Identifier{"outbox"},
		[]string{"id", "aggregatetype", "aggregateid", "type", "version", "payload", "occurred_at"},
		pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
			id := uuid.New()
			want = append(want, id.String())
			return []any{id, "order", order, "order.ready.v1", int64(i + 1), "{}", time.Now()}, nil
		}))
	if err != nil || n != rows {
		t.Fatalf("copied %d, %v", n, err)
	}
	got := r.transaction() // which fails if a mark of the last stands before the last
	if diff := cmp.Diff(got.ids, want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
	for i, m := range r.seen {
		if m.Kind == Insert && m.Last != (i == len(r.seen)-2) {
			t.Errorf("message %d of %d: last is %v", i, len(r.seen), m.Last)
		}
	}
}

func TestBeginTellsTheCommitsTimeAndPositionAndRowsAreText(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	before := time.Now().Add(-time.Second) // the server's clock is this machine's, and has a resolution
	s.exec(`INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at)
VALUES ('01a206d7-70f5-760e-987d-37b837c4f481', 'order', '861345ae-bdb1-7db4-8345-aebdb17bc4d4', 'order.ready.v1', 1,
        '{ "a":1,  "a":2}', NULL, '2026-11-23 05:22:00.5+01')`)
	m := r.next()
	for m.Kind == Idle {
		m = r.next()
	}
	if m.Kind != Begin || m.Time.Before(before) || m.Time.After(time.Now().Add(time.Second)) || m.Time.Location() != time.UTC {
		t.Errorf("got %+v", m)
	}
	row := r.next().Row
	row.Seq = nil
	want := exampleRow(0)
	want.Seq, want.Headers = nil, nil
	want.ID, want.AggregateType = []byte("01a206d7-70f5-760e-987d-37b837c4f481"), []byte("order")
	want.AggregateID, want.Type = []byte("861345ae-bdb1-7db4-8345-aebdb17bc4d4"), []byte("order.ready.v1")
	want.Version, want.Payload = []byte("1"), []byte(`{ "a":1,  "a":2}`)
	want.OccurredAt = []byte("2026-11-23 04:22:00.5+00")
	if diff := cmp.Diff(row, want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestPreparedTransactionArrivesAtItsCommit_I3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	name := testenv.Name(t)
	tx := beginTx(t, s.db)
	prepared := insert(t, tx, 2)
	if _, err := tx.Exec(t.Context(), "PREPARE TRANSACTION '"+name+"'"); err != nil {
		t.Fatal(err)
	}
	other := s.connect()
	first := insert(t, other, 1)
	if _, err := other.Exec(t.Context(), "COMMIT PREPARED '"+name+"'"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.transactions(2), [][]string{first, prepared}); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestHugeTransactionArrivesWholeInBoundedMemory(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	const (
		rows    = 100_000
		payload = 600    // bytes: all of it at once would be over 60 MB
		limit   = 32_000 // kB, other tests of this package included
	)
	before := heap()
	s.exec(`INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
SELECT gen_random_uuid(), 'order', '861345ae-bdb1-7db4-8345-aebdb17bc4d4', 'order.ready.v1', n, json_build_object('x', repeat('y', $2)), now()
FROM generate_series(1, $1) n`, rows, payload)
	var n, most int
	for m := r.next(); m.Kind != Commit; m = r.next() {
		r.seen = nil // it is this test that would keep them
		if m.Kind != Insert {
			continue
		}
		n++
		if got := string(m.Row.Version); got != fmt.Sprint(n) || m.Last != (n == rows) {
			t.Fatalf("row %d has version %s, last %v", n, got, m.Last)
		}
		if n%10_000 == 0 {
			most = max(most, heap()-before)
		}
	}
	if n != rows {
		t.Errorf("%d rows, want %d", n, rows)
	}
	if most > limit {
		t.Errorf("the heap grew by %d kB", most)
	}
}

// heap is what is in use, in kB.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc / 1000)
}

func TestColumnAddedUnderALiveStreamChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	want := [][]string{insert(t, s.db, 2)}
	tx := beginTx(t, s.db)
	ids := insert(t, tx, 1)
	if _, err := tx.Exec(t.Context(), "ALTER TABLE outbox ADD COLUMN tenant text DEFAULT 'x'"); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, insert(t, tx, 1)...)
	commitTx(t, tx)
	want = append(want, ids, insert(t, s.db, 2))
	s.exec("ALTER TABLE outbox DROP COLUMN tenant")
	want = append(want, insert(t, s.db, 2))
	if diff := cmp.Diff(r.transactions(4), want); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestColumnDroppedOrRenamedUnderALiveStreamIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	const insertRest = `INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
VALUES (gen_random_uuid(), 'order', gen_random_uuid(), 'order.ready.v1', 1, '{}', now())`
	for _, alter := range []string{"DROP COLUMN headers", "RENAME COLUMN headers TO meta"} {
		t.Run(alter, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			r := s.stream()
			want := insert(t, s.db, 1)
			if got := r.transaction(); !slices.Equal(got.ids, want) {
				t.Fatalf("got %v", got)
			}
			s.exec("ALTER TABLE outbox " + alter)
			s.exec(insertRest)
			r.fails(`public.outbox is published without the column "headers"`)
		})
	}
}

func TestKeepalivesComeInOrderBetweenTransactions(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	const transactions = 300
	other := s.connect()
	failed := make(chan error, 1)
	go func() {
		for i := range transactions {
			// Of the outbox, of another table, and rolled back: the server has something to say about each.
			if _, err := tryInsert(t.Context(), other, 1+i%4); err != nil {
				failed <- err
				return
			}
			if _, err := other.Exec(t.Context(), "UPDATE menu_items SET name = name WHERE id = 1"); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	for range transactions {
		r.Confirm(r.transaction().end)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	s.exec("UPDATE menu_items SET name = name WHERE id = 1")
	for r.next().Kind != Idle {
	}
	if err := wholeTransactions(r.seen); err != nil {
		t.Error(err)
	}
	var idle Message
	for _, m := range r.seen {
		switch {
		case m.Kind == Idle && m.LSN < idle.LSN:
			t.Errorf("keepalive at %s after one at %s", m.LSN, idle.LSN)
		case m.Kind == Idle:
			idle = m
		case m.Kind == Begin && m.LSN < idle.LSN:
			t.Errorf("transaction %s after a keepalive that was past it: %s", m.LSN, idle.LSN)
		}
	}
}

// Between a snapshot and the stream of the slot that exported it there is no gap and nothing twice, whoever writes.
func TestEveryRowIsInTheSlotsSnapshotOrInItsStream(t *testing.T) {
	t.Parallel()
	s := setupWithoutSlot(t)
	stop, done := make(chan struct{}), make(chan error)
	const writers = 4
	for range writers {
		conn := s.connect()
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if _, err := tryInsert(t.Context(), conn, 3); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	count := func() (n int) {
		if err := s.db.QueryRow(t.Context(), "SELECT count(*) FROM outbox").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	wait(t, "rows from before the slot", func() bool { return count() > 100 })

	conn := s.replication()
	consistent, snapshot, err := CreateSlot(t.Context(), conn, s.slot)
	if err != nil || consistent == 0 {
		t.Fatalf("consistent point %s, %v", consistent, err)
	}
	there := s.idsIn(snapshot)
	stream, err := Open(t.Context(), conn, s.slot, layout.Own())
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, stream)
	before := count()
	wait(t, "rows from after the slot", func() bool { return count() > before+100 })
	close(stop)
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}

	all := s.idsIn("")
	got := slices.Clone(there)
	for len(got) < len(all) {
		tx := r.transaction()
		if tx.commit < consistent {
			t.Errorf("transaction %s is from before the consistent point %s", tx.commit, consistent)
		}
		got = append(got, tx.ids...)
	}
	slices.Sort(got)
	slices.Sort(all)
	if diff := cmp.Diff(got, all); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
	if len(there) == 0 || len(there) == len(all) {
		t.Errorf("%d of %d rows in the snapshot: the other side was not tried", len(there), len(all))
	}
}

// idsIn returns the events that a snapshot shows, or of now.
func (s *source) idsIn(snapshot string) []string {
	s.t.Helper()
	tx, err := s.connect().BeginTx(s.t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err == nil && snapshot != "" {
		_, err = tx.Exec(s.t.Context(), "SET TRANSACTION SNAPSHOT '"+snapshot+"'")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	rows, err := tx.Query(s.t.Context(), "SELECT id::text FROM outbox")
	if err != nil {
		s.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

func TestServerThatEndsTheConnectionEndsRun(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	s.exec("SELECT pg_terminate_backend($1)", s.told().PID)
	err := <-r.done
	if err == nil || errors.Is(err, t.Context().Err()) && t.Context().Err() != nil {
		t.Errorf("got %v", err)
	}
}
