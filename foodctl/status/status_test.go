package status

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestQuantilesLieWithinTheirBucket(t *testing.T) {
	t.Parallel()
	h := histogram{0.01: 50, 0.1: 99, 1: 100, math.Inf(1): 100}
	if got := h.quantile(0.5); got != 10*time.Millisecond {
		t.Errorf("p50 %v, want the bound of the first bucket, 10ms", got)
	}
	if got := h.quantile(0.75); got <= 10*time.Millisecond || got > 100*time.Millisecond {
		t.Errorf("p75 %v, want it within 10ms to 100ms", got)
	}
	above := histogram{0.01: 0, 1: 0, math.Inf(1): 7}
	if got := above.quantile(0.5); got != time.Second {
		t.Errorf("what is above all bounds %v, want the highest bound, 1s", got)
	}
	if got := (histogram{}).quantile(0.99); got != 0 {
		t.Errorf("of nothing %v, want 0", got)
	}
}

func TestAHistogramThatBeganAnewIsAllNew(t *testing.T) {
	t.Parallel()
	before := histogram{0.01: 50, math.Inf(1): 60}
	after := histogram{0.01: 3, math.Inf(1): 4}
	if got := after.since(before)[math.Inf(1)]; got != 4 {
		t.Errorf("after a restart %d, want 4", got)
	}
	later := histogram{0.01: 51, math.Inf(1): 63}
	if got := later.since(before)[math.Inf(1)]; got != 3 {
		t.Errorf("without one %d, want 3", got)
	}
}

func TestMetricsAreReadAndSummed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	role := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "relay_role"}, []string{"role"})
	applied := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applied_total"}, []string{"partition"})
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: latencyMetric, Buckets: []float64{0.1, 1}})
	reg.MustRegister(role, applied, latency)
	role.WithLabelValues("active").Set(1)
	role.WithLabelValues("standby").Set(0)
	applied.WithLabelValues("0").Add(3)
	applied.WithLabelValues("1").Add(4)
	latency.Observe(0.05)
	latency.Observe(7)
	server := httptest.NewServer(http.StripPrefix("", promhttp.HandlerFor(reg, promhttp.HandlerOpts{})))
	defer server.Close()

	m, err := Scrape(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Sum("applied_total"); got != 7 {
		t.Errorf("sum %v, want 7", got)
	}
	if !m.Is("relay_role", "role", "active") || m.Is("relay_role", "role", "standby") || m.Is("no_such", "role", "active") {
		t.Error("the active role is not the only one that is 1")
	}
	h := histogram{}
	h.add(m[latencyMetric])
	if h[0.1] != 1 || h[1] != 1 || h[math.Inf(1)] != 2 {
		t.Errorf("histogram %v: want 1, 1 and 2", h)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestATerminalKeepsTheStatusUnderTheNotices(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := NewScreen(&out, Terminal)
	s.Status(Counts{Orders: 12})
	s.Notice("relay ended")
	got := out.String()
	notice, status := strings.Index(got, "relay ended\n"), strings.LastIndex(got, "orders 12")
	if notice < 0 || status < notice {
		t.Errorf("%q: want the status drawn again after the notice", got)
	}
}

func TestJSONIsAnObjectALine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := NewScreen(&out, JSON)
	s.Text("a banner for people")
	s.Notice("relay %s", "ended")
	s.Status(Counts{Written: 5, Applied: 4})
	s.End()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2:\n%s", len(lines), out.String())
	}
	var status struct{ Written, Applied int64 }
	if err := json.Unmarshal([]byte(lines[1]), &status); err != nil || status.Written != 5 || status.Applied != 4 {
		t.Errorf("%s: %+v, %v", lines[1], status, err)
	}
}
