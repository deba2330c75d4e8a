package generator

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// An operation is an order, walked through its whole life in a Postgres that writes through to the disk.
func BenchmarkFlatOut(b *testing.B) {
	url := testenv.NewCluster(b).Orders()
	for _, writers := range []int{1, 8, 32, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			cfg := Default()
			cfg.Rate, cfg.Orders, cfg.Writers = 0, int64(b.N), writers
			with := tools(b, fmt.Sprintf("%s&pool_max_conns=%d", url, writers+2))
			b.ReportAllocs()
			b.ResetTimer()
			if err := Run(b.Context(), cfg, with); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
			b.ReportMetric(testutil.ToFloat64(with.Metrics.events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
