package eventlog_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
)

// An operation is an order of one customer, whose row all writers lock, in a Postgres that writes through to the disk.
func BenchmarkPlace(b *testing.B) {
	url := testenv.NewCluster(b).Orders()
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			pool, err := pgxpool.New(b.Context(), fmt.Sprintf("%s&pool_max_conns=%d", url, writers))
			if err != nil {
				b.Fatal(err)
			}
			defer pool.Close()
			log := eventlog.New(pool, slog.New(slog.DiscardHandler))
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			b.ResetTimer()
			for range writers {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := log.Execute(b.Context(), eventlog.Command{Order: uuid.New(), Do: place}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}
