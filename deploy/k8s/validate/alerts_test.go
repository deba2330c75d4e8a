package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestPrometheusRuleIsTheAlertsFile holds the copy for the Prometheus Operator to the file that Prometheus itself reads.
func TestPrometheusRuleIsTheAlertsFile(t *testing.T) {
	t.Parallel()
	alerts, err := os.ReadFile(filepath.Join("..", "..", "prometheus", "alerts.yml"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no deploy/prometheus/alerts.yml yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	want, err := rule(alerts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", ruleFile))
	if err != nil || string(got) != string(want) {
		t.Fatalf("deploy/k8s/%s is not what make k8s-alerts makes of deploy/prometheus/alerts.yml: run it (%v)", ruleFile, err)
	}
	rules, err := decode[struct{ Spec any }](objects(t, "production"), "PrometheusRule")
	if err != nil {
		t.Fatal(err)
	}
	var groups any
	if err := yaml.Unmarshal(alerts, &groups); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rules["foodpipeline"].Spec, groups) {
		t.Errorf("the production overlay has not the alerts: list alerts.yaml in components/monitoring/kustomization.yaml")
	}
}

func TestRuleKeepsEveryGroup(t *testing.T) {
	t.Parallel()
	const alerts = `# Alerts.
groups:
  - name: pipeline
    rules:
      - alert: Stalled
        expr: |
          rate(a[2m]) > 0

          and on () b == 0
        annotations:
          description: >-
            {{ $value | humanize }} events
            pile up.
`
	made, err := rule([]byte(alerts))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Spec any }
	var want any
	if err := errors.Join(yaml.Unmarshal(made, &got), yaml.Unmarshal([]byte(alerts), &want)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Spec, want) {
		t.Errorf("spec is %v, want %v", got.Spec, want)
	}
	for _, wrong := range []string{"", "rules: []", "groups: []\nextra: 1", "groups: ["} {
		if _, err := rule([]byte(wrong)); err == nil {
			t.Errorf("%q was taken for a rule file", wrong)
		}
	}
}
