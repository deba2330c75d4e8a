package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// closed is the overlay production with the component tokens.
func closed(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	k8s, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if k8s, err = filepath.Rel(dir, k8s); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("resources: [%s/overlays/production]\ncomponents: [%s/components/tokens]\n", k8s, k8s)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), "go", "run", kustomize, "build", dir)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWithTheComponentTokensEveryProgramAsksForOne(t *testing.T) {
	t.Parallel()
	render(t, "production") // skips where there is no kustomize
	text := closed(t)
	all, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := workloads(all)
	if err != nil {
		t.Fatal(err)
	}
	asking := 0
	for _, w := range ws {
		if !w.serves() {
			continue
		}
		c, file := w.pod.Spec.Containers[0], ""
		for _, v := range c.Env {
			if v.Name == "TOKEN_FILE" {
				file = v.Value
			}
		}
		mounted := false
		for _, m := range c.VolumeMounts {
			mounted = mounted || m.Name == "http-tokens" && m.ReadOnly && filepath.Join(m.MountPath, "tokens") == file
		}
		if !mounted {
			t.Errorf("%s: TOKEN_FILE is %q, which is not where the Secret is mounted", w, file)
		}
		asking++
	}
	if asking != 4 {
		t.Errorf("%d programs, want four", asking)
	}
	if !bytes.Contains(text, []byte("name: http-token-prometheus")) {
		t.Error("Prometheus has no token")
	}
	path := filepath.Join(t.TempDir(), "closed.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := complaints(t, []string{path})("closed"); said != "" {
		t.Error(said)
	}
}
