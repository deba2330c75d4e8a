package ops

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// logger is the one that the flags make.
func logger(t *testing.T, out *bytes.Buffer, args ...string) *slog.Logger {
	t.Helper()
	flags, err := parse(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return flags.Log("relay", out)
}

func TestLogHonoursLevelAndFormat(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"text": `level=WARN msg=shown n=1`, "json": `"level":"WARN","msg":"shown"`, "auto": `"msg":"shown"`} {
		var out bytes.Buffer
		log := logger(t, &out, "--log-level=warn", "--log-format="+format)
		log.Info("dropped")
		log.Warn("shown", "n", 1)
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "dropped") {
			t.Errorf("format %s: got %q, want %q in it and nothing below warn", format, got, want)
		}
	}
}

func TestJSONNamesProgramAndInstanceAndTextDoesNot(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	logger(t, &out, "--log-format=json").Info("started")
	var line struct{ Program, Instance string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Program != "relay" || line.Instance != host {
		t.Errorf("got %s, %v; want program relay and instance %s", out.String(), err, host)
	}
	out.Reset()
	logger(t, &out, "--log-format=text").Info("started")
	if strings.Contains(out.String(), "program") || strings.Contains(out.String(), "instance") {
		t.Errorf("got %s, want neither", out.String())
	}
}

func TestTheErrorThatEndsAProgramIsTheJSONLogsLastLineOrAPersonsText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err        error
		json, text string
		code       int
	}{
		"nothing": {nil, `"level":"INFO","msg":"stopped"`, "level=INFO msg=stopped\n", 0},
		"plain":   {errors.New("plain"), `"level":"ERROR","msg":"ended with an error"|"err":"plain","exit_code":1`, "error: plain\n", 1},
		"joined":  {errors.Join(errors.New("one"), errors.New("two")), `"err":"one; two"`, "error: one; two\n", 1},
		"code":    {&ExitError{Code: 3, Err: errors.New("refused")}, `"err":"refused","exit_code":3`, "error: refused\n", 3},
		"silent":  {&ExitError{Code: 3}, "", "", 3},
	} {
		for format, want := range map[string]string{"json": c.json, "text": c.text} {
			var out bytes.Buffer
			err := Ended(logger(t, &out, "--log-format="+format), c.err)
			if !errors.Is(err, c.err) {
				t.Errorf("%s: the error was lost: %v", name, err)
			}
			if code := Exit(err, &out); code != c.code {
				t.Errorf("%s, %s: exit code %d, want %d", name, format, code, c.code)
			}
			lines := strings.Count(out.String(), "\n")
			if wantLines := min(1, len(want)); lines != wantLines {
				t.Errorf("%s, %s: got %d lines, want %d: %s", name, format, lines, wantLines, out.String())
			}
			for _, part := range strings.Split(want, "|") {
				if !strings.Contains(out.String(), part) {
					t.Errorf("%s, %s: got %q, want %q in it", name, format, out.String(), part)
				}
			}
		}
	}
}

func TestALibrarysWordsWeighLessThanOurs(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{
		"warn":    "WARN error",
		"info":    "WARN error, INFO warning",
		"debug":   "WARN error, INFO warning",
		"debug-4": "WARN error, INFO warning, DEBUG-4 information, DEBUG-4 detail",
	} {
		var out bytes.Buffer
		log := Library(logger(t, &out, "--log-format=json", "--log-level="+level).WithGroup("kafka"))
		log.Error("error", "broker", 1)
		log.Warn("warning", "broker", 1)
		log.Info("information", "broker", 1)
		log.Debug("detail", "broker", 1)
		var got []string
		for line := range strings.Lines(out.String()) {
			var entry struct {
				Level, Msg, Program string
				Kafka               struct{ Broker int }
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Program != "relay" || entry.Kafka.Broker != 1 {
				t.Errorf("got %s, %v; want the program, and what is the library's apart", line, err)
			}
			got = append(got, entry.Level+" "+entry.Msg)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("at %s: got %s, want %s", level, s, want)
		}
	}
}
