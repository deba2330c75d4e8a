package view

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

const testTopic = "food-orders"

var testTopicID = uuid.MustParse("6f1f4c5e-0000-4000-8000-000000000001")

type bench struct {
	*testing.T

	pool *pgxpool.Pool
	view *View
}

func setup(t *testing.T) *bench {
	t.Helper()
	pool := connect(t, testenv.ReadModel(t))
	return &bench{T: t, pool: pool, view: New(pool, testTopic, 100)}
}

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := Connect(t.Context(), url, 6, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// claim claims partition 0 of a log that is long enough.
func (b *bench) claim(owner string) *Partition {
	b.Helper()
	claimed, refused, err := b.view.Claim(b.Context(), owner, Log{testTopicID, map[int32]Bounds{0: {0, 1 << 40}}})
	if err != nil || len(refused) > 0 {
		b.Fatalf("claim: refused %v, err %v", refused, err)
	}
	return claimed[0]
}

func (b *bench) apply(p *Partition, events []Event) Applied {
	b.Helper()
	applied, err := p.Apply(b.Context(), events)
	if err != nil {
		b.Fatal(err)
	}
	return applied
}

func (b *bench) want(want viewtest.Tables) {
	b.Helper()
	if diff := cmp.Diff(viewtest.Stored(b.T, b.pool), want); diff != "" {
		b.Fatalf("tables (-got +want):\n%s", diff)
	}
}

// counts are the position and the counters of partition 0.
func (b *bench) counts() (next, applied, duplicates int64) {
	b.Helper()
	err := b.pool.QueryRow(b.Context(), `SELECT next_offset, applied_events, duplicate_events FROM projection_offsets WHERE part = 0`).
		Scan(&next, &applied, &duplicates)
	if err != nil {
		b.Fatal(err)
	}
	return next, applied, duplicates
}

func history(seed uint64, orders, n int) []Event { return events(viewtest.History(seed, orders, n)) }

func folded(events []Event) viewtest.Tables {
	var all []viewtest.Event
	for _, e := range events {
		all = append(all, viewtest.Event{Event: e.Event, Offset: e.Offset, LeaderEpoch: e.LeaderEpoch, Data: e.Data})
	}
	return viewtest.Folded(all)
}

func (b *bench) empty() {
	b.Helper()
	_, err := b.pool.Exec(b.Context(), `TRUNCATE projection_offsets, order_summary, order_timeline, customer_stats_shard,
		item_popularity_shard, revenue_minute_shard, kitchen_board, dead_letters`)
	if err != nil {
		b.Fatal(err)
	}
}

func TestABatchAppliedTwiceIsFenced_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(1, 5, 60)
	p := b.claim("one")
	again := *p // believes that nothing has been applied
	b.apply(p, events)
	before := viewtest.Stored(t, b.pool)

	if _, err := again.Apply(t.Context(), events); !errors.Is(err, ErrFenced) {
		t.Fatalf("second time: %v, want ErrFenced", err)
	}
	b.want(before)
	if _, applied, _ := b.counts(); applied != int64(len(events)) {
		t.Fatalf("applied %d, want %d", applied, len(events))
	}
}

func TestAnOverTakenOwnerAppliesNothing_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(2, 5, 60)
	old := b.claim("old")
	b.apply(old, events[:20])
	b.claim("new")

	if _, err := old.Apply(t.Context(), events[20:]); !errors.Is(err, ErrFenced) {
		t.Fatalf("overtaken owner: %v, want ErrFenced", err)
	}
	b.want(folded(events[:20]))
}

func TestEachPartOfTheFenceFencesByItself_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, change := range map[string]string{
		"another claim since":                       `SET owner_epoch = owner_epoch + 1`,
		"a restored backup claimed to equal epochs": `SET claim = gen_random_uuid()`,
		"another position":                          `SET next_offset = next_offset + 1`,
	} {
		p := b.claim(name)
		if _, err := b.pool.Exec(t.Context(), `UPDATE projection_offsets `+change); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Apply(t.Context(), history(3, 5, 40)); !errors.Is(err, ErrFenced) {
			t.Errorf("%s: %v, want ErrFenced", name, err)
		}
		b.empty()
	}
}

func TestALowerVersionIsIgnoredAndCounted_I9(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(4, 4, 50)
	p := b.claim("one")
	b.apply(p, events[:30])
	repeated := append([]Event{}, events[10:]...) // 20 events once more, at new offsets
	for i := range repeated {
		repeated[i].Offset = events[29].Offset + 1 + int64(i)
	}
	applied := b.apply(p, repeated)
	if want := (Applied{Events: 20, Duplicates: 20}); !cmp.Equal(applied, want) {
		t.Fatalf("applied %+v, want %+v", applied, want)
	}
	b.want(folded(events))
	if _, n, duplicates := b.counts(); n != 50 || duplicates != 20 {
		t.Fatalf("applied %d, duplicates %d", n, duplicates)
	}
	only := append([]Event{}, events[:1]...)
	only[0].Offset = repeated[len(repeated)-1].Offset + 1
	if applied := b.apply(p, only); !cmp.Equal(applied, Applied{Duplicates: 1}) {
		t.Fatalf("a batch of duplicates alone: %+v", applied)
	}
}

func TestABatchBehindThePositionIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(6, 4, 20)
	p := b.claim("one")
	b.apply(p, events[:10])
	if _, err := p.Apply(t.Context(), events[5:]); !errors.Is(err, errPosition) {
		t.Fatalf("err %v, want errPosition", err)
	}
}

func TestACancelledBatchLeavesNothing_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(7, 4, 20)
	p := b.claim("one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Apply(ctx, events); !errors.Is(err, context.Canceled) {
		t.Fatalf("err %v", err)
	}
	b.apply(p, events)
	b.want(folded(events))
}
