package query

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	waits    *prometheus.CounterVec
	waited   prometheus.Histogram
	open     prometheus.Gauge
	changes  prometheus.Counter
	ended    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "query_requests_total",
			Help: "Requests answered, by the route's pattern and the status code; streams when they end.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "query_request_duration_seconds",
			Help:    "Duration of requests until their answer was written, by the route's pattern; without streams.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 17), // to 32 s
		}, []string{"route"}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "query_waits_total",
			Help: "Requests with Read-After, by result: reached; late, it was not there in time; blocked, an event of the order could not be applied.",
		}, []string{"result"}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "query_wait_seconds",
			Help:    "Time until a request with Read-After had what it wanted, or gave up.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16), // to 32 s
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "query_streams",
			Help: "Clients that follow changes now.",
		}),
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "query_stream_changes_total",
			Help: "Changes written to streams.",
		}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "query_streams_ended_total",
			Help: "Streams that have ended, by reason: client, it went away; slow, it was cut off; database; or shutdown.",
		}, []string{"reason"}),
	}
	for _, result := range []string{"reached", "late", "blocked"} {
		m.waits.WithLabelValues(result)
	}
	for _, reason := range []string{"client", "slow", "database", "shutdown"} {
		m.ended.WithLabelValues(reason)
	}
	reg.MustRegister(m.requests, m.seconds, m.waits, m.waited, m.open, m.changes, m.ended)
	return m
}
