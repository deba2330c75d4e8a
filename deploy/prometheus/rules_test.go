package prometheus_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is an alert of alerts.yml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	parse(t, "deploy/prometheus/alerts.yml", &file)
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no alerts")
	}
	return all
}

func parse(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestEachAlertSaysWhatItMeansAndWhatToDo(t *testing.T) {
	t.Parallel()
	for _, r := range alerts(t) {
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: want a summary and a description", r.Alert)
		}
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q, want critical or warning", r.Alert, severity)
		}
	}
}

// TestEachAlertHasATestThatFiresAndOneThatDoesNot: that they pass is TestPromtool's to find out.
func TestEachAlertHasATestThatFiresAndOneThatDoesNot(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name     string `yaml:"alertname"`
				Expected []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Exprs []struct {
				Expr     string `yaml:"expr"`
				Expected []any  `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		} `yaml:"tests"`
	}
	parse(t, "deploy/prometheus/alerts_test.yml", &file)
	fires, quiet := make(map[string]bool), make(map[string]bool)
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Expected) > 0
			quiet[a.Name] = quiet[a.Name] || len(a.Expected) == 0
		}
		for _, e := range test.Exprs {
			if m := regexp.MustCompile(`ALERTS\{alertname="(\w+)",alertstate="firing"\}`).FindStringSubmatch(e.Expr); m != nil {
				fires[m[1]] = fires[m[1]] || len(e.Expected) > 0
			}
		}
	}
	for _, r := range alerts(t) {
		if !fires[r.Alert] || !quiet[r.Alert] {
			t.Errorf("%s: fires in a test: %v, is quiet in one: %v; want both", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

// tool finds a program of Debian's package prometheus, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not there: apt-get install --no-install-recommends prometheus, or https://prometheus.io/download", name)
	}
	return path
}

func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"},
		{"test", "rules", "alerts_test.yml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// builtin are the series that Prometheus makes itself.
var builtin = []string{"up", "ALERTS"}

// TestAlertsAndDashboardsNameMetricsThatAreThere: a misspelt name is no error to Prometheus, only silence.
func TestAlertsAndDashboardsNameMetricsThatAreThere(t *testing.T) {
	t.Parallel()
	exported := exportedSeries(t)
	for where, expr := range allQueries(t) {
		names := metricNames(expr)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, name := range names {
			if !slices.Contains(exported, name) && !slices.Contains(builtin, name) {
				t.Errorf("%s: no program exports %s", where, name)
			}
		}
	}
}

// exportedSeries are the names of all series in the catalogue, those of histograms one by one.
func exportedSeries(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) ").FindAllStringSubmatch(read(t, catalogueFile), -1) {
		names = append(names, m[1])
		if m[2] == "histogram" {
			names = append(names, m[1]+"_bucket", m[1]+"_sum", m[1]+"_count")
		}
	}
	return names
}

// allQueries are the expressions of alerts and dashboards, by where they stand.
func allQueries(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, r := range alerts(t) {
		all["alert "+r.Alert] = r.Expr
	}
	for where, expr := range panelQueries(t) {
		all[where] = expr
	}
	return all
}

var (
	notMetrics = regexp.MustCompile(`"[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\boffset\s+\w+`)
	identifier = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*\b\s*\(?`)
	keywords   = []string{"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}
)

// metricNames are the metrics that a query names: what is left of it without functions, labels and words of the language.
func metricNames(expr string) []string {
	var names []string
	for _, word := range identifier.FindAllString(notMetrics.ReplaceAllString(expr, " "), -1) {
		if name := strings.TrimSpace(word); !strings.HasSuffix(name, "(") && !slices.Contains(keywords, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func TestMetricNamesOfAQuery(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][]string{
		`up`: {"up"},
		`sum by (le, job) (rate(a_bucket{le="x_y"}[$__rate_interval])) / on () group_left () max(b) > 4 * 3600`: {"a_bucket", "b"},
		`a and on () (sum(rate(b[5m])) or vector(0)) == 0`:                                                      {"a", "b"},
		`sum(d unless d offset 1h)`:                                     {"d"},
		`count(count by (partition) (last_over_time(c{x=~"p|q"}[1d])))`: {"c"},
	} {
		if got := metricNames(expr); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", expr, got, want)
		}
	}
}
