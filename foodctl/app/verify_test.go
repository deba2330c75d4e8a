package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// verify runs the command and returns what it printed and its exit code.
func verify(t *testing.T, args ...string) (string, int, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(t.Context(), append([]string{"verify"}, args...), &out, &errs)
	code := 0
	if exit, has := errors.AsType[*ops.ExitError](err); has {
		code = exit.Code
	} else if err != nil {
		code = 1
	}
	return out.String(), code, err
}

func TestVerifyHoldsOnAnEmptySystem(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	args := []string{
		"--orders-url", testenv.Orders(t), "--readmodel-url", testenv.ReadModel(t), "--brokers", brokers,
		"--topic", testenv.Topic(t, brokers, 3), "--slot", "", "--json",
	}
	out, code, err := verify(t, args...)
	var report struct{ Verdict string }
	if json.Unmarshal([]byte(out), &report) != nil || report.Verdict != "holds" || code != 0 {
		t.Errorf("exit code %d (%v), want 0; printed:\n%s", code, err, out)
	}
}

func TestVerifyIsUndecidedWithoutATopic(t *testing.T) {
	t.Parallel()
	out, code, err := verify(t, "--orders-url", testenv.Orders(t), "--readmodel-url", testenv.ReadModel(t),
		"--brokers", testenv.Broker(t), "--topic", testenv.Name(t), "--slot", "")
	if code != 2 || !strings.Contains(out, "make it with foodctl topics") {
		t.Errorf("exit code %d (%v), want 2; printed:\n%s", code, err, out)
	}
}

func TestVerifySaysWhatToGiveIt(t *testing.T) {
	t.Parallel()
	nowhere := filepath.Join(t.TempDir(), "data")
	for want, args := range map[string][]string{
		"there is no system of foodctl up in " + nowhere: {"--data-dir", nowhere},
		"give both":           {"--orders-url", "postgres://localhost/orders"},
		"must be above 0":     {"--timeout", "0s"},
		"--brokers not empty": {"--brokers", ","},
	} {
		if _, code, err := verify(t, args...); code != 2 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("verify %q: exit code %d, %v; want 2 and %q", args, code, err, want)
		}
	}
}
