package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestAWrongCommandLineSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	database := "--database-url=postgres://projector:s3cret@127.0.0.1:1/readmodel"
	for want, args := range map[string][]string{
		"--database-url":    {"run"},
		"--members is 0":    {"run", database, "--brokers=127.0.0.1:1", "--members=0"},
		"--max-batch is 0":  {"run", database, "--brokers=127.0.0.1:1", "--max-batch=0"},
		"--session-timeout": {"run", database, "--brokers=127.0.0.1:1", "--session-timeout=1s"},
		"want HOST:PORT":    {"run", database, "--brokers=kafka"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), args, &out, &out)
		if code := ops.Exit(err, &out); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "s3cret") {
			t.Errorf("%v: %s, want %q and no secret", args, &out, want)
		}
	}
}

func TestHelpIsWorthReading(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"run", "--help"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"READMODEL_DATABASE_URL", "KAFKA_BROKERS", "PROJECTOR_GROUP", "MEMBERS", "127.0.0.1:7484"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %s:\n%s", want, &out)
		}
	}
}

func TestADatabaseWithoutTheSchemaIsRefused(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := run(t.Context(), []string{"--database-url", testenv.Empty(t), "--brokers", "127.0.0.1:1", "--listen", "127.0.0.1:0"}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "foodctl migrate") {
		t.Errorf("err %v, want the command that mends it", err)
	}
}
