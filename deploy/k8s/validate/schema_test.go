package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kubernetes is the oldest version that the manifests are for, and the newest whose schemas kubectl-validate carries.
const kubernetes = "1.30"

// breakages spoil one field of each API. What is wrong in them must be found, else nothing is.
var breakages = []struct{ name, was, is, want string }{
	{"Kubernetes", "unhealthyPodEvictionPolicy:", "unhealthyEvictionPolicy:", "spec.unhealthyEvictionPolicy"},
	{"Kubernetes, type", "replicas: 2\n", "replicas: two\n", "spec.replicas"},
	{"Strimzi, Kafka", "networkPolicyPeers:", "networkPolicyPears:", "spec.kafka.listeners[0].networkPolicyPears"},
	{"Strimzi, KafkaNodePool", "kraftMetadata: shared", "kraftMetadata: all", "spec.storage.volumes[0].kraftMetadata"},
	{"Strimzi, KafkaTopic", "partitions: 3", "partition: 3", "spec.partition"},
	{"Strimzi, KafkaUser", "      - DescribeConfigs", "      - DescribeConfig", "spec.authorization.acls[0].operations"},
	{"CloudNativePG, Cluster", "synchronizeLogicalDecoding:", "synchroniseLogicalDecoding:", "spec.replicationSlots.highAvailability.synchroniseLogicalDecoding"},
	{"CloudNativePG, rule", "number: 1", "number: 0", "spec.postgresql.synchronous.number"},
	{"CloudNativePG, Database", "databaseReclaimPolicy: retain", "databaseReclaimPolicy: keep", "spec.databaseReclaimPolicy"},
	{"Prometheus Operator", "interval: 15s", "interval: often", "spec.podMetricsEndpoints[0].interval"},
}

// TestManifestsFitTheSchemas checks the overlays against the schemas of Kubernetes and of the operators, as an API server
// would: types, values, the operators' own rules. A field that a schema does not know is an error.
func TestManifestsFitTheSchemas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := make(map[string][]byte)
	for _, overlay := range overlays {
		files[overlay] = render(t, overlay)
	}
	for _, b := range breakages {
		files[b.name] = bytes.ReplaceAll(files["production"], []byte(b.was), []byte(b.is))
		if bytes.Equal(files[b.name], files["production"]) {
			t.Errorf("%q is not in the manifests", b.was)
		}
	}
	var paths []string
	for name, text := range files {
		paths = append(paths, filepath.Join(dir, name+".yaml"))
		if err := os.WriteFile(paths[len(paths)-1], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := complaints(t, paths)
	for _, overlay := range overlays {
		if said := found(overlay); said != "" {
			t.Errorf("%s: %s", overlay, said)
		}
	}
	for _, b := range breakages {
		if said := found(b.name); !strings.Contains(said, b.want) {
			t.Errorf("%s: %q was not refused for %s: %s", b.name, b.is, b.want, said)
		}
	}
}

// complaints runs kubectl-validate over all files at once: loading the schemas is what takes its time.
func complaints(t *testing.T, paths []string) (of func(name string) string) {
	t.Helper()
	crds, err := schemas()
	if err != nil {
		t.Skip(err)
	}
	out, failed := command(t.Context(), "go", append([]string{
		"run", kubectlValidate, "--output", "json", "--version", kubernetes, "--local-crds", crds,
	}, paths...)...)
	var results map[string][]struct{ Status, Message string }
	if err := json.Unmarshal(out, &results); err != nil { // a wrong file is an error too, but then there is JSON
		t.Fatalf("kubectl-validate: %v, %v", err, failed)
	}
	return func(name string) string {
		all := results[filepath.Join(filepath.Dir(paths[0]), name+".yaml")]
		if len(all) == 0 {
			return "nothing was looked at"
		}
		var said []string
		for _, r := range all {
			if r.Status != "Success" {
				said = append(said, r.Message)
			}
		}
		return strings.Join(said, "; ")
	}
}
