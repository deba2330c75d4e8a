package view

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestAClaimWaitsForTheBatchInFlightAndGoesOnBehindIt_I8(t *testing.T) {
	t.Parallel()
	url := testenv.ReadModel(t)
	pool, err := pgxpool.New(t.Context(), url) // without lock_timeout: the machine may be slow
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := &bench{T: t, pool: pool, view: New(pool, testTopic, 100)}
	events := history(20, 5, 60)
	old := b.claim("old")

	barrier, err := pool.Begin(t.Context()) // the old owner's batch stands between its fence and its commit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = barrier.Rollback(context.Background()) })
	if _, err := barrier.Exec(t.Context(), `LOCK TABLE order_timeline IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	g.Go(func() error { _, err := old.Apply(t.Context(), events[:30]); return err })
	b.untilWaiting("%order_timeline%")
	claimed := make(chan *Partition, 1)
	g.Go(func() error { claimed <- b.claim("new"); return nil })
	b.untilWaiting("%projection_offsets%")
	select {
	case <-claimed:
		t.Fatal("the claim did not wait for the batch in flight")
	default:
	}
	if err := barrier.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	owner := <-claimed
	if next, _ := owner.Next(); next != events[29].Offset+1 {
		t.Fatalf("claim goes on at %d, want %d", next, events[29].Offset+1)
	}
	if _, err := old.Apply(t.Context(), events[30:]); !errors.Is(err, ErrFenced) {
		t.Fatalf("old owner's next batch: %v, want ErrFenced", err)
	}
	b.apply(owner, events[30:])
	b.want(folded(events))
}

// untilWaiting waits until a statement like this waits for a lock.
func (b *bench) untilWaiting(statement string) {
	b.Helper()
	b.until(`SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`,
		statement)
}

func (b *bench) until(query string, args ...any) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for holds := false; !holds; {
		if err := b.pool.QueryRow(ctx, query, args...).Scan(&holds); err != nil {
			b.Fatalf("%s: %v", query, err)
		}
	}
}

func TestAHangingOwnerIsPassedByItsSessionsLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(21, 5, 60)
	old := b.claim("old")
	conn, err := b.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := old.begin(t.Context(), conn, events, b.view.newFold(Models(), 1)); err != nil { // as one that is stopped here
		t.Fatal(err)
	}
	for started := time.Now(); ; {
		claimed, _, err := b.view.Claim(t.Context(), "new", Log{testTopicID, map[int32]Bounds{0: {0, 1000}}})
		if err == nil {
			b.apply(claimed[0], events)
			break
		}
		if !strings.Contains(err.Error(), "55P03") { // lock_not_available
			t.Fatal(err)
		}
		if time.Since(started) > time.Minute {
			t.Fatal("the old owner's transaction still holds the partition")
		}
	}
	b.want(folded(events))
}

func TestAClaimRefusesALogThatTheReadModelWasNotMadeFrom_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(22, 5, 60)
	p := b.claim("one")
	b.apply(p, events)
	next, _ := p.Next()

	other := uuid.MustParse("6f1f4c5e-0000-4000-8000-000000000002")
	for name, tt := range map[string]struct {
		log  Log
		part int32
		want string // empty: not refused
	}{
		"as it was":                 {Log{testTopicID, map[int32]Bounds{0: {0, next}}}, 0, ""},
		"begins at the next record": {Log{testTopicID, map[int32]Bounds{0: {next, next + 5}}}, 0, ""},
		"another topic id":          {Log{other, map[int32]Bounds{0: {0, next}}}, 0, "deleted and made again"},
		"records deleted":           {Log{testTopicID, map[int32]Bounds{0: {next + 1, next + 5}}}, 0, "deleted before they were applied"},
		"records lost":              {Log{testTopicID, map[int32]Bounds{0: {0, next - 1}}}, 0, "lost records that were applied"},
		"no position, no beginning": {Log{testTopicID, map[int32]Bounds{1: {3, 5}}}, 1, "no position"},
		"no position, from 0":       {Log{testTopicID, map[int32]Bounds{2: {0, 5}}}, 2, ""},
	} {
		claimed, refused, err := b.view.Claim(t.Context(), "two", tt.log)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case tt.want == "" && (claimed[tt.part] == nil || refused[tt.part] != nil):
			t.Errorf("%s: refused: %v", name, refused[tt.part])
		case tt.want != "" && claimed[tt.part] != nil:
			t.Errorf("%s: claimed", name)
		case tt.want != "" && (!errors.Is(refused[tt.part], ErrTopic) || !strings.Contains(refused[tt.part].Error(), tt.want)):
			t.Errorf("%s: refused with %v, want %q", name, refused[tt.part], tt.want)
		}
	}
	if _, err := p.Apply(t.Context(), history(23, 1, 1)); err == nil {
		t.Error("a refused claim has left the partition to its former owner")
	}
}

func TestClaimsOfManyPartitionsAtOnceDoNotDeadlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := Log{testTopicID, map[int32]Bounds{}}
	for part := range int32(12) {
		log.Bounds[part] = Bounds{0, 1}
	}
	var g errgroup.Group
	for range 5 {
		g.Go(func() error {
			for range 10 {
				if _, _, err := b.view.Claim(t.Context(), "one of many", log); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestASchemaThatRejectsARowIsPermanent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.claim("one")
	if _, err := b.pool.Exec(t.Context(), `ALTER TABLE order_summary ADD CONSTRAINT order_summary_never CHECK (false)`); err != nil {
		t.Fatal(err)
	}
	_, err := p.Apply(t.Context(), history(24, 2, 5))
	if !Permanent(err) {
		t.Fatalf("%v: want permanent", err)
	}
	b.want(folded(nil))
	for _, passing := range []string{"40P01", "55P03", "57P01", "53300", "08006", "25006", "0A000"} {
		if Permanent(fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: passing})) {
			t.Errorf("SQLSTATE %s: want passing", passing)
		}
	}
}

func TestABatchWithoutAnAnswerIsFencedByARestoredBackup_I8(t *testing.T) {
	t.Parallel()
	events := history(31, 5, 40)
	for name, tt := range map[string]struct {
		change string
		want   error
	}{
		"as it was":                   {`UPDATE projection_offsets SET topic = topic`, nil},
		"an older position":           {`UPDATE projection_offsets SET next_offset = next_offset - 1`, ErrFenced},
		"from before the first claim": {`DELETE FROM projection_offsets`, ErrFenced},
		"moved by who has no claim":   {`UPDATE projection_offsets SET next_offset = next_offset + 1`, errPosition},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.claim("one")
			b.apply(p, events[:20])
			p.unsettled = &unsettled{to: events[39].Offset + 1, applied: Applied{Events: 20}}
			if _, err := b.pool.Exec(t.Context(), tt.change); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Apply(t.Context(), events[20:]); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// What was committed without an answer is left out of a longer slice that comes next, and told of with what that brings.
func TestWhatAnUnansweredBatchHasAppliedIsLeftOut_I8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	events := history(32, 5, 40)
	p := b.claim("one")
	unanswered := *p
	applied := b.apply(p, events[:20])
	unanswered.unsettled = &unsettled{to: events[19].Offset + 1, leaderEpoch: events[19].LeaderEpoch, applied: applied}
	if got := b.apply(&unanswered, events); got.Events != 40 || got.Duplicates != 0 {
		t.Errorf("told of %+v, want all 40", got)
	}
	b.want(folded(events))
	if next, n, _ := b.counts(); n != 40 || next != events[39].Offset+1 {
		t.Errorf("position %d, %d applied", next, n)
	}
}
