package auth

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

var refusedDesc = prometheus.NewDesc("http_requests_refused_total",
	"Requests that were not let in: 401, without a token of the token file; 403, with one whose scope does not allow it.", []string{"code"}, nil)

// Describe implements prometheus.Collector.
func (g *Guard) Describe(descs chan<- *prometheus.Desc) { descs <- refusedDesc }

// Collect implements prometheus.Collector.
func (g *Guard) Collect(metrics chan<- prometheus.Metric) {
	for code, n := range map[int]uint64{http.StatusUnauthorized: g.unknown.Load(), http.StatusForbidden: g.unfit.Load()} {
		metrics <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(n), strconv.Itoa(code))
	}
}

func (g *Guard) count(code int) {
	if code == http.StatusForbidden {
		g.unfit.Add(1)
		return
	}
	g.unknown.Add(1)
}
