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
	for i := range w.marks { // time passes
		w.marks[i].at = w.marks[i].at.Add(-2 * settled)
	}
	read(12, 2)
	if w.floor == 0 {
		t.Error("old rows are still counted each time")
	}
	insert(a, 11, 13)
	read(15, 2)

	w.floor, w.events, w.orders = w.floor+100, 15, 2 // as if a transaction of those numbers were still open
	insert(a, 14, 16)
	read(15, 2)
	n.Published = 18 // which cannot be
	read(18, 2)
}

func TestTheFloorFollowsOldMarksOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := written{floor: 1, marks: []mark{{now.Add(-3 * settled), 5}, {now.Add(-settled), 9}, {now, 20}}}
	if got := w.next(now); got != 9 {
		t.Errorf("floor %d, want 9", got)
	}
	if got := w.next(now); got != 1 {
		t.Errorf("without old marks %d, want the floor that there is, 1", got)
	}
}
