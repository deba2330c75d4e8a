package prometheus_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	orderservice "github.com/adamkwhite/kafkafoodpipeline/orderservice/app"
	projector "github.com/adamkwhite/kafkafoodpipeline/projector/app"
	relay "github.com/adamkwhite/kafkafoodpipeline/relay/app"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

const catalogueFile = "docs/metrics.md"

// section is a program's metrics, or those that all programs have.
type section struct {
	title    string
	intro    string
	job      string // in Prometheus; empty for what all have
	families []*dto.MetricFamily
}

// catalogue reads the metrics off the programs' own registries.
func catalogue(t *testing.T) []section {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nowhere") // connects only when it is used
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	all := ops.Registry()
	all.MustRegister(new(auth.Guard))
	ops.Public(all, ops.NewHealth()) // counts its own errors
	own := func(register func(prometheus.Registerer)) []*dto.MetricFamily {
		reg := filled{prometheus.NewRegistry()}
		register(reg)
		return gather(t, reg.Registry)
	}
	return []section{
		{
			"orderservice", "Those that begin with `generator_` are there with `--generate` only.", "orderservice",
			own(func(reg prometheus.Registerer) { orderservice.Metrics(reg, pool) }),
		},
		{"relay", "A standby exports them too; what only the active relay knows is 0 or absent there.", "relay", own(relay.Metrics)},
		{"projector", "The members of a process share them.", "projector", own(projector.Metrics)},
		{"projector serve", "Streams are those of server-sent events.", "query", own(projector.ServeMetrics)},
		{"All programs", "Made by [client_golang](https://pkg.go.dev/github.com/prometheus/client_golang/prometheus/collectors).", "", gather(t, all)},
	}
}

func gather(t *testing.T, reg *prometheus.Registry) []*dto.MetricFamily {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// filled is a registry in which each vector has a child, without which it would not show.
type filled struct{ *prometheus.Registry }

func (f filled) MustRegister(all ...prometheus.Collector) {
	f.Registry.MustRegister(all...)
	for _, c := range all {
		var child func(values ...string) error
		switch vec := c.(type) {
		case *prometheus.CounterVec:
			child = func(values ...string) error { _, err := vec.GetMetricWithLabelValues(values...); return err }
		case *prometheus.GaugeVec:
			child = func(values ...string) error { _, err := vec.GetMetricWithLabelValues(values...); return err }
		case *prometheus.HistogramVec:
			child = func(values ...string) error { _, err := vec.GetMetricWithLabelValues(values...); return err }
		default:
			continue
		}
		for n := 1; child(make([]string, n)...) != nil; n++ { // the number of its labels is the one that it takes
			if n == 10 {
				panic("a vector with more than ten labels")
			}
		}
	}
}

func (f filled) Register(c prometheus.Collector) error {
	f.MustRegister(c)
	return nil
}

func TestCatalogueIsUpToDate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("what a process tells of itself differs between systems; the catalogue is Linux's")
	}
	want := render(catalogue(t))
	if *update {
		if err := os.WriteFile(filepath.Join(root, catalogueFile), []byte(want), 0o644); err != nil { //nolint:gosec // for everyone to read
			t.Fatal(err)
		}
	}
	if read(t, catalogueFile) != want {
		t.Errorf("%s is out of date: run `make metrics`", catalogueFile)
	}
}

func TestMetricNamesFollowPrometheusConventions(t *testing.T) {
	t.Parallel()
	for _, s := range catalogue(t) {
		if s.job == "" {
			continue // not ours to name
		}
		problems, err := promlint.NewWithMetricFamilies(s.families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", s.title, p.Metric, p.Text)
		}
	}
}

func render(sections []section) string {
	var b strings.Builder
	b.WriteString(`# Metrics

What each program exports at ` + "`/metrics`" + `: written from the programs' own registries by ` + "`make metrics`" + `, and held against
them by a test. Times are seconds, sizes bytes. A histogram ` + "`x`" + ` is there as ` + "`x_bucket`, `x_sum` and `x_count`" + `. Label values in
brackets are those that are there from the start.
`)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| name | type | labels | |\n|---|---|---|---|\n", s.title, s.intro)
		for _, f := range s.families {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labels(f),
				strings.ReplaceAll(f.GetHelp(), "|", "\\|"))
		}
	}
	return b.String()
}

// labels lists a family's labels, each with the values that its metrics have.
func labels(f *dto.MetricFamily) string {
	var names []string
	values := make(map[string][]string)
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !slices.Contains(names, l.GetName()) {
				names = append(names, l.GetName())
			}
			if v := l.GetValue(); v != "" && !slices.Contains(values[l.GetName()], v) {
				values[l.GetName()] = append(values[l.GetName()], v)
			}
		}
	}
	for i, name := range names {
		names[i] = "`" + name + "`"
		if known := values[name]; len(known) > 0 && !strings.HasSuffix(f.GetName(), "_info") { // which differ from build to build
			slices.Sort(known)
			names[i] += " (" + strings.Join(known, ", ") + ")"
		}
	}
	return strings.Join(names, ", ")
}
