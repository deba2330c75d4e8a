package testenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestPowerCutLosesWhatWasNotSyncedAndNothingElse(t *testing.T) {
	t.Parallel()
	v := testenv.NewVolume(t)
	early, late := filepath.Join(v.Dir(), "early"), filepath.Join(v.Dir(), "late")
	write(t, early)
	v.Sync()
	write(t, late)
	v.CutPower()
	if err := os.WriteFile(filepath.Join(v.Dir(), "after"), []byte("x"), 0o600); err == nil {
		t.Error("a file was written after the power was cut")
	}
	v.Restore()
	if got, err := os.ReadFile(early); err != nil || string(got) != "here" {
		t.Errorf("what was synced: got %q, %v", got, err)
	}
	if got, err := os.ReadFile(late); err == nil && len(got) > 0 {
		t.Errorf("what was not synced is still there: %q", got)
	}
	write(t, late) // it is whole again
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
}
