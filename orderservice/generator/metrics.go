package generator

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what a generator tells about itself.
type Metrics struct {
	placed   prometheus.Counter
	finished *prometheus.CounterVec
	open     prometheus.Gauge
	events   prometheus.Counter
	errors   *prometheus.CounterVec
	seconds  prometheus.Histogram
	done     prometheus.Gauge
}

// Kinds of errors.
const (
	kindUnavailable = "unavailable"
	kindUnknown     = "unknown"
	kindOther       = "other"
	kindAbandoned   = "abandoned"
)

// NewMetrics registers the metrics. There is one set in a registry.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		placed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "generator_orders_placed_total",
			Help: "Orders placed by this process.",
		}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "generator_orders_finished_total",
			Help: "Orders walked to their end by this process, by the fulfilment in which they ended.",
		}, []string{"fulfilment"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "generator_orders_open",
			Help: "Orders on their way now.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "generator_events_total",
			Help: "Events in the life of this process's orders since it took them up.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "generator_errors_total",
			Help: "Failed attempts: unavailable, unknown (connection lost while committing), other; and orders abandoned.",
		}, []string{"kind"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "generator_command_seconds",
			Help:    "Duration of commands that were committed, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		done: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "generator_done",
			Help: "1 when the limit of orders is reached and all of them have finished.",
		}),
	}
	reg.MustRegister(m.placed, m.finished, m.open, m.events, m.errors, m.seconds, m.done)
	for _, kind := range []string{kindUnavailable, kindUnknown, kindOther, kindAbandoned} {
		m.errors.WithLabelValues(kind) // there from the start: an increase from nothing to 1 would not be seen
	}
	return m
}
