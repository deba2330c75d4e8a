package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSecretsAreThoseOfTheRoles runs secrets.sh with a kubectl that only takes notes.
func TestSecretsAreThoseOfTheRoles(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	kubectl := "#!" + bash + "\n" + `case "$*" in *" get "*) [[ "$*" == *relay* ]];; *) echo ---; cat;; esac` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(kubectl), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	script := exec.Command(bash, filepath.Join("..", "secrets.sh"))
	script.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := script.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(out), "postgres-relay is there\n", "", 1)
	if text == string(out) {
		t.Error("a Secret that is there was not left alone")
	}
	made, err := parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"postgres-relay": "relay"}
	passwords := make(map[string]bool)
	for _, o := range made {
		var s struct {
			StringData struct{ Username, Password string } `yaml:"stringData"`
		}
		if err := o.node.Decode(&s); err != nil {
			t.Fatal(err)
		}
		got[o.Metadata.Name] = s.StringData.Username
		passwords[s.StringData.Password] = len(s.StringData.Password) >= 24
	}
	if len(passwords) != len(made) || passwords[""] {
		t.Errorf("%d passwords for %d Secrets", len(passwords), len(made))
	}
	want := make(map[string]string)
	clusters, err := decode[postgresCluster](objects(t, "production"), "Cluster")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range clusters["postgres"].Spec.Managed.Roles {
		if r.Login {
			want[r.PasswordSecret.Name] = r.Name
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-of the roles +of secrets.sh\n%s", diff)
	}
}
