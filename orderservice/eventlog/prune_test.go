package eventlog_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// aged does a command with a key, and makes the key so old.
func (f fixture) aged(key string, age time.Duration) eventlog.Command {
	f.Helper()
	cmd := eventlog.Command{Order: uuid.New(), Do: place, Key: &eventlog.Key{Value: key}}
	if _, err := f.log.Execute(f.Context(), cmd); err != nil {
		f.Fatal(err)
	}
	f.exec(`UPDATE idempotency_keys SET created_at = now() - make_interval(secs => $2) WHERE key = $1`, key, age.Seconds())
	return cmd
}

func (f fixture) prune(most int) int64 {
	f.Helper()
	n, err := f.log.PruneKeys(f.Context(), 24*time.Hour, most)
	if err != nil {
		f.Fatal(err)
	}
	return n
}

func TestOldKeysArePrunedAndYoungOnesAreNot_I12(t *testing.T) {
	t.Parallel()
	f := setup(t)
	old, young := f.aged("old", 25*time.Hour), f.aged("young", 23*time.Hour)
	if n := f.prune(100); n != 1 {
		t.Errorf("%d keys were pruned, want 1", n)
	}
	if left := get[string](f, `SELECT string_agg(key, ' ') FROM idempotency_keys`); left != "young" {
		t.Errorf("left are %q, want the young one", left)
	}
	old.Order, young.Order = uuid.New(), uuid.New()
	if result, err := f.log.Execute(t.Context(), young); err != nil || !result.Replayed {
		t.Errorf("young: got %+v, %v; want a replay", result, err)
	}
	if result, err := f.log.Execute(t.Context(), old); err != nil || result.Replayed || result.ID != old.Order {
		t.Errorf("old: got %+v, %v; want another order", result, err)
	}
	if n := get[int](f, `SELECT count(*) FROM orders`); n != 3 {
		t.Errorf("%d orders, want 3", n)
	}
}

func TestPruningTakesTheOldestAndNoMoreThanItIsTold(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for i, key := range []string{"c", "a", "d", "b"} {
		f.aged(key, 48*time.Hour+time.Duration([]int{2, 0, 3, 1}[i])*time.Hour)
	}
	for _, want := range []struct {
		n    int64
		left string
	}{{3, "a"}, {1, ""}, {0, ""}} {
		n := f.prune(3)
		if left := get[string](f, `SELECT coalesce(string_agg(key, ' '), '') FROM idempotency_keys`); n != want.n || left != want.left {
			t.Errorf("pruned %d, left %q; want %d, %q", n, left, want.n, want.left)
		}
	}
}

func TestPrunersAtOnceCountEachKeyOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const keys = 3000
	f.exec(`
		INSERT INTO idempotency_keys (key, request_hash, order_id, version, created_at)
		SELECT n::text, decode(repeat('00', 32), 'hex'), gen_random_uuid(), 1, now() - interval '25 hours'
		FROM generate_series(1, $1::int) AS n`, keys)
	var (
		group sync.WaitGroup
		sums  [4]int64
	)
	for i := range sums {
		group.Go(func() {
			for n := int64(1); n > 0; {
				var err error
				if n, err = f.log.PruneKeys(t.Context(), 24*time.Hour, 100); err != nil {
					t.Error(err)
					return
				}
				sums[i] += n
			}
		})
	}
	group.Wait()
	// One that met another's batch may have ended before the keys did.
	left := get[int64](f, `SELECT count(*) FROM idempotency_keys`)
	if sum := sums[0] + sums[1] + sums[2] + sums[3]; sum+left != keys || left > 300 {
		t.Errorf("pruned %v, left %d; want %d in all", sums, left, keys)
	}
}

// The key of a command that is not committed is nobody's to delete, however long the command takes.
func TestTheKeyOfARunningCommandIsNotPruned_I12(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(`ALTER TABLE idempotency_keys ALTER COLUMN created_at SET DEFAULT now() - interval '25 hours'`)
	gate := f.gate()
	cmd := eventlog.Command{Order: uuid.New(), Do: place, Key: &eventlog.Key{Value: "slow"}}
	var group sync.WaitGroup
	group.Go(func() {
		if result, err := f.log.Execute(t.Context(), cmd); err != nil || result.Replayed {
			t.Errorf("got %+v, %v", result, err)
		}
	})
	f.until(waiting, 1)
	if n := f.prune(100); n != 0 {
		t.Errorf("%d keys were pruned while the command was running", n)
	}
	gate.open()
	group.Wait()
	if again, err := f.log.Execute(t.Context(), cmd); err != nil || !again.Replayed {
		t.Errorf("got %+v, %v; want a replay", again, err)
	}
}
