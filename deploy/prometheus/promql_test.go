package prometheus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/stack"
	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// limit bounds every wait of the test.
const limit = 3 * time.Minute

// TestPrometheusOnARunningPipeline: a real Prometheus over the real programs answers every query of the dashboards with
// numbers, loads the alerts, and finds nothing to alert of; and the catalogue holds all that it scrapes. Then the pipeline
// ends, and what should alert does.
//
//nolint:tparallel // its subtests are about one pipeline, in order
func TestPrometheusOnARunningPipeline(t *testing.T) {
	t.Parallel()
	path := tool(t, "prometheus")
	p := startPipeline(t)
	m := startPrometheus(t, path, p)

	t.Run("dashboards", func(t *testing.T) { //nolint:paralleltest // see above
		queries := panelQueries(t)
		for _, where := range slices.Sorted(maps.Keys(queries)) {
			m.answers(t, where, interpolate(queries[where]))
		}
	})
	t.Run("alerts", func(t *testing.T) { //nolint:paralleltest // see above
		for _, r := range alerts(t) {
			for _, selector := range selectors(r.Expr) {
				m.answers(t, "alert "+r.Alert, "count("+selector+")")
			}
		}
		m.healthyRules(t)
		m.wait(t, "no alert to be pending", func() error {
			if found := m.query(t, "ALERTS"); len(found) > 0 {
				return fmt.Errorf("%v", found)
			}
			return nil
		})
	})
	t.Run("catalogue", func(t *testing.T) { m.scrapesTheCatalogue(t) }) //nolint:paralleltest // see above
	t.Run("end", func(t *testing.T) {                                   //nolint:paralleltest // see above
		p.stop(t)
		for _, name := range []string{"ProgramDown", "OrderserviceDown", "RelayNoneActive", "ProjectorNoMembers"} {
			m.wait(t, name+" to be pending", func() error {
				if len(m.query(t, fmt.Sprintf("ALERTS{alertname=%q}", name))) == 0 {
					return errors.New("it is not")
				}
				return nil
			})
		}
	})
}

// interpolate does what Grafana does to a query. A part that has a zero to fall back on must answer itself.
func interpolate(query string) string {
	return strings.NewReplacer("$__rate_interval", "10s", " or vector(0)", "").Replace(query)
}

// selectors are the metrics that a query names, with their labels.
func selectors(expr string) []string {
	var all []string
	for _, name := range metricNames(expr) {
		all = append(all, regexp.MustCompile(`\b`+name+`\b(\{[^}]*\})?`).FindAllString(expr, -1)...)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == `http_requests_total{code=~"5.."}` }) // there was none
}

// pipeline is a running foodctl up with a standby relay.
type pipeline struct {
	process *child.Process
	ports   stack.Ports
	output  string // path
}

func startPipeline(t *testing.T) *pipeline {
	t.Helper()
	for _, name := range []string{"orderservice", "relay", "projector"} {
		testenv.Build(t, name)
	}
	dir, err := os.MkdirTemp("", "prometheus-test-") //nolint:usetesting // as root, Postgres runs under a user who must enter it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // see above
		t.Fatal(err)
	}
	p := &pipeline{output: filepath.Join(dir, "foodctl.log")}
	if p.ports, err = stack.FreePorts(t.Context(), 2, 2); err != nil {
		t.Fatal(err)
	}
	p.process = start(t, p.output, testenv.Build(t, "foodctl"), "up", "--json", "--relays=2", "--data-dir", filepath.Join(dir, "data"),
		fmt.Sprintf("--orderservice-port=%d", p.ports.OrderService), fmt.Sprintf("--relay-port=%d", p.ports.Relay),
		fmt.Sprintf("--projector-port=%d", p.ports.Projector), fmt.Sprintf("--postgres-port=%d", p.ports.Postgres),
		fmt.Sprintf("--broker-port=%d", p.ports.Broker), fmt.Sprintf("--query-port=%d", p.ports.Query))
	return p
}

// stop ends the pipeline in order.
func (p *pipeline) stop(t *testing.T) {
	t.Helper()
	if err := p.process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.process.Done():
	case <-time.After(limit):
		t.Fatalf("the pipeline does not end: %s", contents(p.output))
	}
}

// start starts a program that ends with the test.
func start(t *testing.T, output, path string, args ...string) *child.Process {
	t.Helper()
	log, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() }) // it may have ended
	return process
}

func contents(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// monitor is a running Prometheus.
type monitor struct {
	*pipeline

	url    string
	client *http.Client
}

// startPrometheus starts it with the configuration of the compose stack, but for addresses and intervals.
func startPrometheus(t *testing.T, path string, p *pipeline) *monitor {
	t.Helper()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	at := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	dir := t.TempDir()
	config := read(t, "deploy/prometheus/prometheus.yml")
	for _, change := range [][2]string{
		{"orderservice:7481", at(p.ports.OrderService)},
		{"relay:7482", at(p.ports.Relay)},
		{"relay-standby:7483", at(p.ports.Relay + 1)},
		{"projector-1:7484", at(p.ports.Projector)},
		{"projector-2:7485", at(p.ports.Projector + 1)},
		{"query:7488", at(p.ports.Query)},
		{"localhost:7491", at(port)},
		{"scrape_interval: 5s", "scrape_interval: 1s"},
		{"scrape_timeout: 4s", "scrape_timeout: 1s"},
		{"evaluation_interval: 15s", "evaluation_interval: 1s"},
	} {
		if strings.Count(config, change[0]) != 1 {
			t.Fatalf("prometheus.yml: want %q once", change[0])
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	for name, text := range map[string]string{"prometheus.yml": config, "alerts.yml": read(t, "deploy/prometheus/alerts.yml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output := filepath.Join(dir, "log")
	process := start(t, output, path, "--config.file", filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", at(port))
	m := &monitor{pipeline: p, url: "http://" + at(port), client: &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	}}
	m.wait(t, "Prometheus to be ready", func() error {
		select {
		case <-process.Done():
			t.Fatalf("Prometheus ended: %s", contents(output))
		default:
		}
		_, err := m.get(t.Context(), m.url+"/-/ready")
		return err
	})
	return m
}

func (m *monitor) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := m.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return body, err
}

// wait asks until there is no error. Meanwhile somebody reads the menu, so that the API has something to count.
func (m *monitor) wait(t *testing.T, what string, try func() error) {
	t.Helper()
	timeout := time.After(limit)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		_, _ = m.get(t.Context(), fmt.Sprintf("http://127.0.0.1:%d/v1/menu", m.ports.OrderService)) // it may not be up yet, or no more
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waiting for %s: %v\n%s", what, err, contents(m.output))
		}
	}
}

// api asks Prometheus. An error is the test's end: a query that is wrong does not become right.
func (m *monitor) api(t *testing.T, path string, parameters url.Values, into any) {
	t.Helper()
	body, err := m.get(t.Context(), m.url+path+"?"+parameters.Encode())
	if err != nil {
		t.Fatalf("%s %v: %v", path, parameters, err)
	}
	answer := struct {
		Data any `json:"data"`
	}{into}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// query returns the numbers that a query gives now, by their labels.
func (m *monitor) query(t *testing.T, expr string) map[string]float64 {
	t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string  `json:"metric"`
			Value  [2]json.RawMessage `json:"value"`
		} `json:"result"`
	}
	m.api(t, "/api/v1/query", url.Values{"query": {expr}}, &data)
	found := make(map[string]float64)
	for _, r := range data.Result {
		v, err := strconv.ParseFloat(strings.Trim(string(r.Value[1]), `"`), 64)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		if !math.IsNaN(v) {
			found[fmt.Sprint(r.Metric)] = v
		}
	}
	return found
}

// answers waits until a query gives a number.
func (m *monitor) answers(t *testing.T, where, expr string) {
	t.Helper()
	m.wait(t, where+": "+expr, func() error {
		if len(m.query(t, expr)) == 0 {
			return errors.New("no data")
		}
		return nil
	})
}

// healthyRules waits until every alert was evaluated, without an error.
func (m *monitor) healthyRules(t *testing.T) {
	t.Helper()
	want := len(alerts(t))
	m.wait(t, "the rules to be evaluated", func() error {
		var data struct {
			Groups []struct {
				Rules []struct {
					Name      string `json:"name"`
					Health    string `json:"health"`
					LastError string `json:"lastError"`
				} `json:"rules"`
			} `json:"groups"`
		}
		m.api(t, "/api/v1/rules", nil, &data)
		healthy := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.LastError != "" {
					t.Fatalf("%s: %s", r.Name, r.LastError)
				}
				if r.Health == "ok" {
					healthy++
				}
			}
		}
		if healthy != want {
			return fmt.Errorf("%d of %d are healthy", healthy, want)
		}
		return nil
	})
}

// scraped matches what Prometheus itself says of a scrape, or of an alert.
var scraped = regexp.MustCompile(`^(up|scrape_.*|ALERTS.*)$`)

// scrapesTheCatalogue: a metric that a program registers past its Metrics function would be missing there.
func (m *monitor) scrapesTheCatalogue(t *testing.T) {
	t.Helper()
	all := catalogue(t)
	for _, s := range all {
		if s.job == "" {
			continue
		}
		known := make(map[string]bool)
		for _, f := range slices.Concat(s.families, all[len(all)-1].families) {
			for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
				known[f.GetName()+suffix] = true
			}
		}
		var names []string
		m.api(t, "/api/v1/label/__name__/values", url.Values{"match[]": {fmt.Sprintf("{job=%q}", s.job)}}, &names)
		if len(names) == 0 {
			t.Errorf("%s: nothing was scraped", s.job)
		}
		for _, name := range names {
			if !known[name] && !scraped.MatchString(name) {
				t.Errorf("%s exports %s, which is not in the catalogue", s.job, name)
			}
		}
	}
}
