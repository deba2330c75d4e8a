package consumer

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the projector's metrics. The members of a process share them.
type Metrics struct {
	applied    *prometheus.CounterVec
	duplicates prometheus.Counter
	letters    *prometheus.CounterVec
	blocked    *prometheus.GaugeVec
	fenced     prometheus.Counter
	batch      prometheus.Histogram
	duration   prometheus.Histogram
	latency    prometheus.Histogram
	lagEvents  *prometheus.GaugeVec
	lagSeconds *prometheus.GaugeVec
	assigned   prometheus.Gauge
	stopped    *prometheus.GaugeVec
	rebalances prometheus.Counter
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		applied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "projector_applied_events_total",
			Help: "Events that changed the read model.",
		}, []string{"partition"}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "projector_duplicate_events_total",
			Help: "Events ignored because they had been applied before. Anything but 0 is a fault before the projector.",
		}),
		letters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "projector_dead_letters_total",
			Help: "Events parked because they, or one before them in their order, could not be applied.",
		}, []string{"reason"}),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "projector_blocked_orders",
			Help: "Orders with dead letters that wait: no sum counts these nor what follows in those orders.",
		}, []string{"partition"}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "projector_fenced_batches_total",
			Help: "Batches dropped because the partition had another owner. Expected around rebalances.",
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "projector_batch_events",
			Help: "Events in a transaction.", Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "projector_batch_duration_seconds",
			Help: "Time from taking a batch to its commit.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "projector_end_to_end_latency_seconds",
			Help:    "Time from an order's commit in the orders database to its commit in the read model, by both machines' clocks.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 18),
		}),
		lagEvents: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "projector_lag_events",
			Help: "Offsets between the read model and the last committed record: 0 when caught up, else the events and the markers among them.",
		},
			[]string{"partition"}),
		lagSeconds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "projector_lag_seconds",
			Help: "Age of the oldest event that is known not to be applied; 0 when caught up.",
		}, []string{"partition"}),
		assigned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "projector_assigned_partitions",
			Help: "Partitions that this process has claimed and consumes.",
		}),
		stopped: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "projector_partition_stopped",
			Help: "1 for a partition that stopped and needs a person; the log has the reason and the remedy.",
		}, []string{"partition"}),
		rebalances: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "projector_rebalances_total",
			Help: "Group sessions that members of this process have begun.",
		}),
	}
	reg.MustRegister(m.applied, m.duplicates, m.letters, m.blocked, m.fenced, m.batch, m.duration, m.latency, m.lagEvents, m.lagSeconds,
		m.assigned, m.stopped, m.rebalances)
	return m
}

// forget drops the gauges of a partition that is no longer this process's: a stale lag would look like a standstill.
func (m *Metrics) forget(part int32) {
	m.lagEvents.DeleteLabelValues(label(part))
	m.lagSeconds.DeleteLabelValues(label(part))
	m.stopped.DeleteLabelValues(label(part))
	m.blocked.DeleteLabelValues(label(part))
}

func label(part int32) string { return strconv.Itoa(int(part)) }
