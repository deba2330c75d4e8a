//go:build nightly

package e2e

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestOutageOfTenMinutes_I5: without Kafka the relay takes no more memory however much is written, and Postgres hears from it all
// along. When Kafka is back, what waited is published within a minute, while as much is written as before.
func TestOutageOfTenMinutes_I5(t *testing.T) {
	const (
		outage  = 10 * time.Minute
		drained = time.Minute
		orders  = 65 // a second: some 500 events
		silence = 10 * time.Second
		growth  = 8 << 10 // KB
	)
	kafka := testenv.Kafka(t)
	p := setup(t, kafka.Address())
	relay := p.relay("relay")
	p.projector("projector-1", "PROJECTOR_INSTANCE=1")
	p.projector("projector-2", "PROJECTOR_INSTANCE=2")
	traffic := p.traffic(orders)
	p.flowing(10_000)
	before, memory := p.written(), relay.resident()

	kafka.Kill()
	most, began, heard, silent := memory, time.Now(), time.Now(), time.Duration(0)
	for tick := time.NewTicker(200 * time.Millisecond); time.Since(began) < outage; <-tick.C {
		for _, g := range p.programs {
			g.supervise()
		}
		most = max(most, relay.resident())
		if p.number(p.orders, `SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
			WHERE s.slot_name = $1 AND r.reply_time > now() - interval '2 seconds'`, p.slot) == 1 {
			heard = time.Now()
		}
		silent = max(silent, time.Since(heard))
	}
	waiting := p.written() - p.applied()
	rate := float64(p.written()-before) / time.Since(began).Seconds()
	t.Logf("%v without Kafka: %.0f events/s written, %d wait; the relay's memory was %d KB, at most %d KB; Postgres heard nothing of it for %v at most",
		outage, rate, waiting, memory, most, silent.Round(time.Millisecond))
	if rate < 450 {
		t.Errorf("only %.0f events/s were written", rate)
	}
	if most > memory+growth {
		t.Errorf("the relay's memory grew from %d to %d KB", memory, most)
	}
	if silent > silence {
		t.Errorf("Postgres heard nothing of the relay for %v", silent)
	}

	kafka.Start()
	back := time.Now()
	p.until("the relay has caught up", func() bool {
		return p.number(p.orders, "SELECT (pg_current_wal_lsn() - confirmed_flush_lsn < 1e6)::int FROM pg_replication_slots WHERE slot_name = $1", p.slot) == 1
	})
	took := time.Since(back)
	p.until("readers have caught up", func() bool { return p.written()-p.applied() < 1000 })
	t.Logf("published in %v, and in the read model after %v", took.Round(100*time.Millisecond), time.Since(back).Round(100*time.Millisecond))
	if took > drained {
		t.Errorf("it took %v to publish what waited, want %v at most", took, drained)
	}
	p.settle(traffic, before+waiting)
}

// resident is the program's memory in KB.
func (g *program) resident() int {
	g.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(g.process.PID()) + "/status")
	if err != nil {
		g.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				g.Fatal(err)
			}
			return n
		}
	}
	g.Fatalf("no VmRSS of %s", g.name)
	return 0
}

// TestARebuildOfAMillionEvents_I10 takes some ten minutes.
func TestARebuildOfAMillionEvents_I10(t *testing.T) {
	kafka := testenv.Kafka(t)
	p := setup(t, kafka.Address())
	p.rebuild(400, 1_000_000, 200_000, 3)
}
