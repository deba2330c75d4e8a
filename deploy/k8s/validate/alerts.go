package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// ruleFile is the PrometheusRule, below deploy/k8s.
var ruleFile = filepath.Join("components", "monitoring", "alerts.yaml")

// ruleHead is all that a PrometheusRule has beside the groups of a Prometheus file.
const ruleHead = `# Made of deploy/prometheus/alerts.yml by make k8s-alerts: change that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: foodpipeline
spec:
`

// rule makes a PrometheusRule of a Prometheus rule file: its groups are the same, one level deeper. The text is kept as it
// is, comments too, because Prometheus' templates and folded lines do not survive being parsed and written again.
func rule(alerts []byte) ([]byte, error) {
	var file map[string]any
	if err := yaml.Unmarshal(alerts, &file); err != nil {
		return nil, err
	}
	if _, has := file["groups"]; !has || len(file) != 1 {
		return nil, fmt.Errorf("want groups and nothing else at the top, have %d keys", len(file))
	}
	out := bytes.NewBufferString(ruleHead)
	for line := range bytes.Lines(alerts) {
		if len(bytes.TrimSpace(line)) > 0 {
			out.WriteString("  ")
		}
		out.Write(line)
	}
	return out.Bytes(), nil
}

func writeRule(alerts, k8s string) error {
	text, err := os.ReadFile(alerts)
	if err != nil {
		return err
	}
	made, err := rule(text)
	if err != nil {
		return fmt.Errorf("%s: %w", alerts, err)
	}
	return os.WriteFile(filepath.Join(k8s, ruleFile), made, 0o644) //nolint:gosec // a file of the repository
}
