package view

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// BenchmarkApply counts events of whole lives of orders, of which 300 are open at a time in a partition, on a Postgres that
// writes through to the disk.
func BenchmarkApply(b *testing.B) {
	cluster := testenv.NewCluster(b)
	pool, err := Connect(b.Context(), cluster.ReadModel(), 8, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	seed := uint64(0) // other orders for each run
	for _, parts := range []int{1, 3} {
		for _, size := range []int{100, 500, 2000, 5000, 20000} {
			name := fmt.Sprintf("partitions=%d/batch=%d", parts, size)
			b.Run(name, func(b *testing.B) {
				histories := make([][]Event, parts)
				log := Log{TopicID: testTopicID, Bounds: map[int32]Bounds{}}
				for i := range histories {
					seed++
					histories[i] = history(seed, 300, b.N/parts+1)
					log.Bounds[int32(i)] = Bounds{0, 1 << 40}
				}
				claimed, _, err := New(pool, fmt.Sprint(name, seed), 100).Claim(b.Context(), "bench", log)
				if err != nil {
					b.Fatal(err)
				}
				b.ResetTimer()
				var g errgroup.Group
				for i, events := range histories {
					g.Go(func() error {
						for len(events) > 0 {
							n := min(size, len(events))
							if _, err := claimed[int32(i)].Apply(b.Context(), events[:n]); err != nil {
								return err
							}
							events = events[n:]
						}
						return nil
					})
				}
				if err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				var applied int
				if err := pool.QueryRow(b.Context(), `SELECT sum(applied_events) FROM projection_offsets WHERE topic = $1`, fmt.Sprint(name, seed)).
					Scan(&applied); err != nil || applied < b.N {
					b.Fatalf("%d events applied of %d: %v", applied, b.N, err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
