package app

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

func setupPruned(t *testing.T) *anotherOutbox {
	t.Helper()
	f := setupAnother(t, map[string]string{"=relay.prune.after": "1h", "=relay.prune.by": "at", "=relay.order.by": "seq"},
		`CREATE TABLE outbox (id text PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload text, at timestamptz, seq bigserial)`)
	f.topics("order")
	return f
}

// rows are the ids in the table.
func (f *anotherOutbox) rows() []string {
	f.t.Helper()
	rows, err := f.db.Query(f.t.Context(), "SELECT id FROM outbox ORDER BY id")
	if err != nil {
		f.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	return ids
}

const insertOld = "INSERT INTO outbox VALUES ($1, 'order', 'a', 'x', $1, now() - $2::interval)"

func TestOldRowsThatArePublishedAreDeleted_I5(t *testing.T) {
	t.Parallel()
	f := setupPruned(t)
	f.exec(insertOld, "old", 2*time.Hour)
	f.exec(insertOld, "new", time.Minute)
	f.run(3, func() {
		f.wait("the old row to be deleted", func() bool { return len(f.rows()) == 1 })
		f.exec(insertOld, "newer", time.Second)
	})
	if diff := cmp.Diff(f.rows(), []string{"new", "newer"}); diff != "" {
		t.Errorf("the table (-got +want):\n%s", diff)
	}
	if got := len(f.records("order")); got != 3 {
		t.Errorf("%d events in the topic, want 3", got)
	}
}

// TestRowsAreDeletedOnlyBehindTheCheckpoint_I5: not before it has come to where the log was, and then only those that were there.
func TestRowsAreDeletedOnlyBehindTheCheckpoint_I5(t *testing.T) {
	t.Parallel()
	f := setupPruned(t)
	f.exec(insertOld, "first", 2*time.Hour)
	s := &session{relay: f.relay()}
	s.metrics.seen.last.Store(&checkpoint.Record{At: checkpoint.Position{End: 1}})
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // several looks at the checkpoint
	defer cancel()
	if n, err := s.pruneTable(soon, s.layout.Tables[0]); err == nil || n != 0 {
		t.Fatalf("%d rows deleted, %v, before the checkpoint has come to them", n, err)
	}
	waiting := func() bool { // with its snapshot taken
		f.t.Helper()
		var waits bool
		err := f.db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'relay-watch' AND state = 'idle in transaction' AND backend_xmin IS NOT NULL)`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		return waits
	}
	f.wait("the first to be gone", func() bool { return !waiting() })
	type outcome struct {
		deleted int64
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		n, err := s.pruneTable(t.Context(), s.layout.Tables[0])
		done <- outcome{n, err}
	}()
	f.wait("it to wait for the checkpoint", waiting)
	f.exec(insertOld, "second", 2*time.Hour) // committed since
	if got := f.rows(); len(got) != 2 {
		t.Fatalf("the table has %v, want both rows", got)
	}
	s.metrics.seen.last.Store(&checkpoint.Record{At: checkpoint.Position{End: math.MaxInt64}})
	if got := <-done; got.err != nil || got.deleted != 1 {
		t.Errorf("%d rows deleted, %v; want 1", got.deleted, got.err)
	}
	if diff := cmp.Diff(f.rows(), []string{"second"}); diff != "" {
		t.Errorf("the table (-got +want):\n%s", diff)
	}
}
