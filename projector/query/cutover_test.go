package query

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// swap makes the other read model live, as package rebuild does, and tries again if readers were in its way.
func (s *service) swap(place string) {
	s.t.Helper()
	until(s.t, "the cut-over", func() bool {
		return pgx.BeginFunc(context.Background(), s.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(context.Background(), fmt.Sprintf(`
SET LOCAL lock_timeout = '500ms';
LOCK TABLE public.projection_offsets IN ACCESS EXCLUSIVE MODE;
SELECT read_model_swap('%s')`, place))
			return err
		}) == nil
	})
}

func TestReadsGoOnThroughCutOvers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	events := s.filled(3, 60)
	id, token := events[0].Order.String(), last(events).String()
	s.exec(`SELECT read_model_begin()`)
	for _, table := range []string{"projection_offsets", "order_summary", "order_timeline", "customer_stats_shard", "item_popularity_shard", "revenue_minute_shard", "kitchen_board"} {
		s.exec("INSERT INTO rebuild." + table + " SELECT * FROM " + table)
	}
	var (
		over    atomic.Bool
		readers sync.WaitGroup
		reads   atomic.Int64
	)
	want := make(map[string]string)
	body := func(r reply) string { // without what names the tables, and the time
		before, _, _ := strings.Cut(r.body, `"as_of"`)
		return before
	}
	for _, path := range everywhere {
		if !strings.Contains(path, "/changes") {
			path = strings.ReplaceAll(path, "%s", id)
			want[path] = body(s.get(path))
		}
	}
	for range 4 {
		readers.Go(func() {
			for !over.Load() {
				for path, want := range want {
					r := s.get(path, "Read-After", token)
					if r.code != http.StatusOK || body(r) != want && !strings.Contains(path, "revenue") && !strings.Contains(path, "popular") {
						t.Errorf("%s: got %d %s, want 200 %s", path, r.code, r.body, want)
					}
					reads.Add(1)
				}
			}
		})
	}
	s.swap("rebuild")
	for range 20 {
		begun := reads.Load()
		until(t, "reads go on", func() bool { return reads.Load() > begun+10 })
		s.swap("former")
	}
	over.Store(true)
	readers.Wait()
}
