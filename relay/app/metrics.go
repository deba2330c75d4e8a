package app

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// metrics are what the relay says about itself. Times are seconds, sizes bytes.
type metrics struct {
	events              prometheus.Counter
	transactions        *prometheus.CounterVec // by result
	commitDuration      prometheus.Histogram
	batchEvents         prometheus.Histogram
	publishLatency      prometheus.Histogram
	skippedEvents       prometheus.Counter
	skippedTransactions prometheus.Counter
	checkpointLSN       prometheus.Gauge
	role                *prometheus.GaugeVec
	sessions            prometheus.Counter
	deadLetters         prometheus.Counter
	spansDropped        prometheus.Counter
	seen                *seen
}

// The roles of a relay. At any time one of them is 1.
const (
	roleStarting = "starting"
	roleStandby  = "standby"
	rolePaused   = "paused"
	roleActive   = "active"
)

// Results of a Kafka transaction. After any other error than that of being fenced the outcome counts as unknown: the next
// start finds it out, and aborts it if it is still open.
const (
	resultCommitted = "committed"
	resultFenced    = "fenced"
	resultUnknown   = "unknown"
)

// Metrics registers all that the relay exports beside what every program does, and gives each metric a value: the catalogue
// in docs is read off it.
func Metrics(reg prometheus.Registerer) {
	m, _ := register(reg)
	m.seen.slot.Store(&slotSeen{Slot: wal.Slot{Safe: new(int64)}, at: time.Now(), rate: 1})
	m.seen.pending.Store(&pendingSeen{at: time.Now()})
}

func register(reg prometheus.Registerer) (*metrics, *ops.Health) {
	health := ops.NewHealth(healthRelay, healthWAL)
	reg.MustRegister(health)
	return newMetrics(reg), health
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		reg.MustRegister(h)
		return h
	}
	m := &metrics{
		events:              counter("relay_published_events_total", "Events in committed Kafka transactions."),
		commitDuration:      histogram("relay_transaction_commit_seconds", "Time from the end of a batch to its commit in Kafka.", prometheus.ExponentialBuckets(0.0005, 2, 16)),
		batchEvents:         histogram("relay_transaction_events", "Events of a Kafka transaction.", prometheus.ExponentialBuckets(1, 4, 9)),
		publishLatency:      histogram("relay_publish_latency_seconds", "Time from the commit in Postgres of a batch's first transaction to the batch's commit in Kafka.", prometheus.ExponentialBuckets(0.001, 2, 18)),
		skippedEvents:       counter("relay_recovered_events_skipped_total", "Events that came again after a restart and were dropped: they were in the topic."),
		skippedTransactions: counter("relay_recovered_transactions_skipped_total", "Source transactions that came again after a restart and were dropped: they were in the topic."),
		checkpointLSN:       gauge("relay_checkpoint_lsn", "The committed checkpoint's end LSN, as a number of bytes."),
		sessions:            counter("relay_sessions_total", "Times that the start protocol was begun."),
		deadLetters:         counter("relay_dead_letters_total", "Events put among the dead letters, those of transactions that were given up included. Of another outbox than the orders', with relay.dead.letter.topic."),
		spansDropped:        counter("relay_spans_dropped_total", "Spans that the OpenTelemetry collector did not get: it did not take them, or too many waited for it."),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_transactions_total", Help: "Kafka transactions by result: committed; fenced by a successor; or unknown until the next start reads the checkpoint.",
		}, []string{"result"}),
		role: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "relay_role", Help: "1 for the role that the relay has: starting, standby, paused or active.",
		}, []string{"role"}),
		seen: &seen{},
	}
	reg.MustRegister(m.transactions, m.role, m.seen)
	for _, result := range []string{resultCommitted, resultFenced, resultUnknown} {
		m.transactions.WithLabelValues(result)
	}
	m.is(roleStarting)
	return m
}

func (m *metrics) is(role string) {
	for _, r := range []string{roleStarting, roleStandby, rolePaused, roleActive} {
		m.role.WithLabelValues(r).Set(0)
	}
	m.role.WithLabelValues(role).Set(1)
}

// broken counts a transaction that ended in an error.
func (m *metrics) broken(err error) {
	result := resultUnknown
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		result = resultFenced
	}
	m.transactions.WithLabelValues(result).Inc()
}

func (m *metrics) committed(b batch, took time.Duration, cp checkpoint.Record) {
	m.transactions.WithLabelValues(resultCommitted).Inc()
	m.commitDuration.Observe(took.Seconds())
	m.reached(cp)
	if b.events == 0 {
		return
	}
	m.events.Add(float64(b.events))
	m.batchEvents.Observe(float64(b.events))
	if !b.oldest.IsZero() {
		m.publishLatency.Observe(time.Since(b.oldest).Seconds())
	}
}

// reached tells how far the topic has come.
func (m *metrics) reached(cp checkpoint.Record) {
	m.checkpointLSN.Set(float64(cp.At.End))
	m.seen.last.Store(&cp)
}
