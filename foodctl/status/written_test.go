package status

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

const insertEvents = `
INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, occurred_at)
SELECT gen_random_uuid(), 'order', $1, 'order.placed.v1', v, '{}', now()
FROM generate_series($2::bigint, $3::bigint) AS v`

func TestWrittenCountsLateCommitsAsLongAsTheyMayCome(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), testenv.Orders(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var w written
	var n Counts
	read := func(wantEvents, wantOrders int64) {
		t.Helper()
		if err := w.read(t.Context(), pool, &n); err != nil {
			t.Fatal(err)
		}
		if n.Written != wantEvents || n.Orders != wantOrders {
			t.Errorf("%d events of %d orders, want %d of %d", n.Written, n.Orders, wantEvents, wantOrders)
		}
	}
	insert := func(id uuid.UUID, first, last int64) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), insertEvents, id, first, last); err != nil {
			t.Fatal(err)
		}
	}
	a, b := uuid.New(), uuid.New()
	read(0, 0)
	late, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Exec(t.Context(), insertEvents, b, 1, 2); err != nil { // takes lower sequence numbers than what follows
		t.Fatal(err)
	}
	insert(a, 1, 10)
	read(10, 1)
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	read(12, 2)
	for i := range w.floor.marks { // time passes
		w.floor.marks[i].at = w.floor.marks[i].at.Add(-2 * settled)
	}
	read(12, 2)
	if w.counted == 0 {
		t.Error("old rows are still counted each time")
	}
	insert(a, 11, 13)
	read(15, 2)

	w.floor.number, w.counted, w.events, w.orders = w.counted+100, w.counted+100, 15, 2 // as if a transaction of those numbers were still open
	insert(a, 14, 16)
	read(15, 2)
	n.Published = 18 // which cannot be
	read(18, 2)
}

func TestTheFloorFollowsOldMarksOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var f Floor
	f.Note(now.Add(-3*settled), 5)
	f.Note(now.Add(-settled), 9)
	f.Note(now, 20)
	for range 2 {
		if got := f.At(now, 20); got != 9 {
			t.Errorf("floor %d, want 9", got)
		}
	}
	if got := f.At(now.Add(settled), 30); got != 20 {
		t.Errorf("later %d, want 20", got)
	}
	if got := f.At(now.Add(settled), far+50); got != 50 {
		t.Errorf("with a number that is far away %d, want 50", got)
	}
}
