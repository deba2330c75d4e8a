package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// BenchmarkCatchUp counts the events that a projector applies when it starts behind, with broker, Postgres (which writes
// through to the disk) and projector on one machine.
func BenchmarkCatchUp(b *testing.B) {
	for _, partitions := range []int32{1, 3} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			r := setup(b, partitions)
			r.url = testenv.NewCluster(b).ReadModel()
			r.pool = r.connect(2)
			if err := r.Send(viewtest.History(uint64(b.N), 1000, b.N), 5000); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			started := time.Now()
			p := r.start(1, func(c *Config) { c.MaxBatch = 2000 })
			r.until("all events applied", func() bool { return r.applied() == int64(b.N) })
			b.ReportMetric(float64(b.N)/time.Since(started).Seconds(), "events/s")
			p.stop()
		})
	}
}
