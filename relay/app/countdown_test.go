package app

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

func TestRateOfTheLogIsAveraged(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Now()
	at := outbox.LSN(1000)
	write := func(bytes outbox.LSN, seconds int) (rate float64) {
		for range seconds {
			now, at = now.Add(time.Second), at+bytes
			rate = p.to(at, now)
		}
		return rate
	}
	if got := p.to(at, now); got != 0 {
		t.Errorf("after one look: got %v", got)
	}
	if got := write(100, 1); got != 100 {
		t.Errorf("after a second at 100: got %v", got)
	}
	if got := write(100, 10); math.Abs(got-100) > 1e-6 {
		t.Errorf("at a steady 100: got %v", got)
	}
	if got := write(6100, 1); got < 150 || got > 250 {
		t.Errorf("after a burst of one second at 6100: got %v, want a sixtieth of it more", got)
	}
	if got := write(1000, 300); got < 950 || got > 1050 {
		t.Errorf("after five minutes at 1000: got %v", got)
	}
	at = 10
	if got := p.to(at, now.Add(time.Second)); got != 0 {
		t.Errorf("of another server's log: got %v", got)
	}
}

func TestCountdownOfASlot(t *testing.T) {
	t.Parallel()
	safe := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name  string
		slot  wal.Slot
		rate  float64
		want  time.Duration
		known bool
	}{
		{"a thousand bytes at a hundred a second", wal.Slot{Safe: safe(1000)}, 100, 10 * time.Second, true},
		{"in danger", wal.Slot{Safe: safe(-1), Status: "unreserved"}, 100, 0, true},
		{"lost", wal.Slot{Status: "lost"}, 0, 0, true},
		{"without a limit", wal.Slot{}, 100, 0, false},
		{"while nothing is written", wal.Slot{Safe: safe(1000)}, 0, 0, false},
		{"not in a lifetime", wal.Slot{Safe: safe(math.MaxInt64)}, 1e-9, math.MaxInt64 / 2, true},
	} {
		if got, known := lostIn(c.slot, c.rate); (got-c.want).Abs() > time.Second || known != c.known {
			t.Errorf("%s: got %v, %v, want %v, %v", c.name, got, known, c.want, c.known)
		}
	}
}

func TestCountdownIsExportedOfWhatWasSeen(t *testing.T) {
	t.Parallel()
	r := &relay{registry: prometheus.NewRegistry()}
	metrics, _ := register(r.registry)
	if _, there := exported(t, r, "relay_slot_lost_in_seconds"); there {
		t.Error("it is exported before anything was seen")
	}
	room := int64(6000)
	metrics.seen.slot.Store(&slotSeen{Slot: wal.Slot{Safe: &room}, at: time.Now(), rate: 100})
	if got, there := exported(t, r, "relay_slot_lost_in_seconds"); !there || got != 60 {
		t.Errorf("got %v, %v, want 60", got, there)
	}
	metrics.seen.slot.Store(&slotSeen{Slot: wal.Slot{Safe: &room}, at: time.Now()})
	if got, there := exported(t, r, "relay_slot_lost_in_seconds"); there {
		t.Errorf("while nothing is written: got %v", got)
	}
}

// TestCountdownOfARunningRelay has a slot with a limit, a relay, and a server that writes.
func TestCountdownOfARunningRelay_I11(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	s := setupOn(t, cluster.Orders(), testenv.Broker(t))
	s.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
	s.exec("SELECT pg_reload_conf()")
	r, _ := s.start()
	s.wait("a countdown", func() bool {
		s.write(1, 1)
		in, there := exported(t, r, "relay_slot_lost_in_seconds")
		return there && in > 0
	})
}
