package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// staleAfter is how long a look at the database counts. It is longer than the pause between two sessions, so that a
// relay which starts again and again has no gaps in its numbers.
const staleAfter = 30 * time.Second

// seen is what the relay has seen of the slot and the outbox, as metrics. What it has not seen lately it does not export:
// an old number would look like a standstill, and a zero like a slot that is about to be lost.
type seen struct {
	slot    atomic.Pointer[slotSeen]          // nil: there is none
	pending atomic.Pointer[pendingSeen]       // nil: not known
	last    atomic.Pointer[checkpoint.Record] // how far the topic has come; nil while another relay knows it, or none
	pace    pace                              // of the server's log; the monitor's
}

type slotSeen struct {
	wal.Slot

	at   time.Time
	rate float64 // bytes of log that the server writes a second; 0 for not known
}

type pendingSeen struct {
	events int64
	age    float64 // in seconds, of the oldest
	at     time.Time
}

var (
	slotLag      = prometheus.NewDesc("relay_slot_lag_bytes", "Log written since the position that the slot was acknowledged at.", nil, nil)
	slotRetained = prometheus.NewDesc("relay_slot_retained_wal_bytes", "Log that the slot holds back.", nil, nil)
	slotLost     = prometheus.NewDesc("relay_slot_lost_in_seconds", "Time until the slot can be lost if nothing is acknowledged any more and the log grows at the rate of the last minute; 0 once it is lost, absent without a limit and while nothing is written.", nil, nil)
	slotSafe     = prometheus.NewDesc("relay_slot_safe_wal_bytes", "Log that may yet be written before the slot can be lost; absent without a limit, and once it is lost.", nil, nil)
	logWritten   = prometheus.NewDesc("relay_database_wal_bytes_total", "Log that the server of the orders database has written, all of its databases together.", nil, nil)

	pendingEvents = prometheus.NewDesc("relay_pending_events", "Events in the outbox and not yet in the topic, by the distance of their numbers: a little high after transactions that were rolled back. From the relay that is active, or was last.", nil, nil)
	pendingAge    = prometheus.NewDesc("relay_oldest_pending_seconds", "Age of the oldest event that is in the outbox and not yet in the topic; 0 for none.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*seen) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{slotLag, slotRetained, slotSafe, slotLost, logWritten, pendingEvents, pendingAge} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (s *seen) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	if slot := s.slot.Load(); slot != nil && time.Since(slot.at) < staleAfter {
		gauge(slotLag, float64(slot.Lag))
		gauge(slotRetained, float64(slot.Retained))
		if slot.Safe != nil {
			gauge(slotSafe, float64(*slot.Safe))
		}
		if in, known := lostIn(slot.Slot, slot.rate); known {
			gauge(slotLost, in.Seconds())
		}
		metrics <- prometheus.MustNewConstMetric(logWritten, prometheus.CounterValue, float64(slot.Flushed))
	}
	if p := s.pending.Load(); p != nil && time.Since(p.at) < staleAfter {
		gauge(pendingEvents, float64(p.events))
		gauge(pendingAge, p.age)
	}
}

// The distance of numbers and not a count: it costs the same in a long outage, when there is much to count.
const selectPending = `
SELECT greatest(newest.seq - last.seq, 0),
       coalesce(extract(epoch FROM clock_timestamp() - oldest.occurred_at), 0)::float8
FROM (SELECT coalesce(max(seq), 0) AS seq FROM outbox WHERE id = ANY ($1::uuid[])) AS last
CROSS JOIN (SELECT coalesce(max(seq), 0) AS seq FROM outbox) AS newest
LEFT JOIN LATERAL (SELECT occurred_at FROM outbox WHERE seq > last.seq ORDER BY seq LIMIT 1) AS oldest ON true`

// count finds out how much is pending. When it cannot, the metrics end: it is no reason to give up the session.
func (s *seen) count(ctx context.Context, conn *pgx.Conn) {
	last := s.last.Load()
	if last == nil {
		s.pending.Store(nil)
		return
	}
	p := pendingSeen{at: time.Now()}
	if err := conn.QueryRow(ctx, selectPending, last.Last()).Scan(&p.events, &p.age); err != nil {
		return // what was seen before grows stale
	}
	p.age = max(0, p.age) // the clocks are two machines'
	s.pending.Store(&p)
}
