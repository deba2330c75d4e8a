package api

import (
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/fetched"
)

// Schemathesis makes requests of the OpenAPI document, right ones and wrong ones and chains of them, and holds each answer to
// what the document says: its status, its headers, its body; that wrong input is refused; that nothing is a 5xx.
func TestSchemathesisFindsNothing(t *testing.T) {
	t.Parallel()
	program := schemathesis(t)
	s := setup(t)
	server := httptest.NewServer(s)
	defer server.Close()
	dir := t.TempDir()
	config, err := filepath.Abs("testdata/schemathesis.toml")
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), program, "--config-file", config, "run", "--seed", "1", "--no-color", server.URL+"/openapi.json")
	run.Dir = dir // it leaves files behind
	out, err := run.CombinedOutput()
	_, summary, _ := strings.Cut(string(out), "SUMMARY")
	t.Logf("SUMMARY%s", summary)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := s.count("orders"); n < 10 {
		t.Errorf("only %d orders were placed: hardly anything was tried", n)
	}
	if logged := s.output.String(); logged != "" {
		t.Errorf("an answer was a server error: %.2000s", logged)
	}
}

// schemathesis finds the program where make schemathesis has installed it, or in PATH.
func schemathesis(t *testing.T) string {
	t.Helper()
	if installed, err := fetched.Dir("schemathesis/bin/schemathesis"); err == nil {
		return installed
	}
	path, err := exec.LookPath("schemathesis")
	if err != nil {
		t.Skip("schemathesis is not there: run make schemathesis (it takes Python's venv: apt-get install python3-venv)")
	}
	return path
}
