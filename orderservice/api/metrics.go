package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	orders   prometheus.Counter
	events   prometheus.Counter
	replayed prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests answered, by the route's pattern and the status code.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Duration of requests until their answer was written, by the route's pattern.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15), // to 8 s
		}, []string{"route"}),
		orders: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "orders_created_total",
			Help: "Orders placed through the API.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "events_appended_total",
			Help: "Events committed by commands of the API.",
		}),
		replayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_replayed_total",
			Help: "Requests that their idempotency key had already done.",
		}),
	}
	reg.MustRegister(m.requests, m.seconds, m.orders, m.events, m.replayed)
	return m
}

func (m *metrics) observe(route string, code int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// executed counts what a command committed. A replayed one committed nothing.
func (m *metrics) executed(command order.Command, result eventlog.Result) {
	if result.Replayed {
		m.replayed.Inc()
		return
	}
	if _, placed := command.(order.Place); placed {
		m.orders.Inc()
	}
	m.events.Add(float64(len(result.Events)))
}
