package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/bench"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

func TestVoidFiguresArePrintedAndAreExitCode1(t *testing.T) {
	t.Parallel()
	r := bench.FailoverReport{Void: true, Faults: []bench.Takeover{{Fault: bench.Kill, Check: bench.Check{Missing: 3}, Void: true}}}
	for _, tt := range []struct {
		json bool
		want string
	}{{false, "missing 3"}, {true, `"missing": 3`}} {
		var out strings.Builder
		err := reportFlags{JSON: tt.json}.print(t.Context(), &out, r, r.Void, nil)
		if code := ops.Exit(err, io.Discard); code != 1 || !strings.Contains(out.String(), tt.want) {
			t.Errorf("exit code %d, want 1; output, which is to have %q:\n%s", code, tt.want, out.String())
		}
		if tt.json && !json.Valid([]byte(out.String())) {
			t.Errorf("no JSON: %s", out.String())
		}
		if code := ops.Exit(reportFlags{JSON: tt.json}.print(t.Context(), io.Discard, r, false, nil), io.Discard); code != 0 {
			t.Errorf("exit code %d of figures that are not void, want 0", code)
		}
	}
}

func TestABenchThatEndsEarlySaysWhyAndPrintsNoFigures(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for want, ctx := range map[int]context.Context{1: t.Context(), 2: stopped} {
		var out strings.Builder
		err := reportFlags{}.print(ctx, &out, bench.FailoverReport{}, false, errors.New("cause"))
		if code := ops.Exit(err, io.Discard); code != want || !strings.Contains(err.Error(), "cause") || out.Len() > 0 {
			t.Errorf("exit code %d, want %d; %v; output %q", code, want, err, out.String())
		}
	}
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args string
		want string
		code int
	}{
		{"bench relay --rows 0", "at least one row", 1},
		{"bench relay --tx 1000,0", "--tx", 1},
		{"bench latency --for 0s", "a time above 0", 1},
		{"bench failover --faults burn", "must be one of", 2},
		{"bench failover --brokers 127.0.0.1:1", "--faults kill,pause", 1},
		{"bench orders --writers 1,0", "--writers", 1},
		{"bench orders --for 1500ms", "whole seconds", 1},
		{"bench orders --rounds 0", "--rounds", 1},
		{"bench projector --events 0", "--events", 1},
		{"bench projector --members 1,0", "--members", 1},
		{"bench projector --parts latency --rates 10,0", "--rates", 1},
		{"bench projector --parts takeover --rounds 0", "one round", 1},
		{"bench projector --session-timeout 5s", "6s or more", 1},
		{"bench projector --faults cut", "must be one of", 2},
		{"bench projector --parts all", "must be one of", 2},
	} {
		err := run(t.Context(), strings.Fields(tt.args), io.Discard, io.Discard)
		var text strings.Builder
		if code := ops.Exit(err, &text); code != tt.code || !strings.Contains(text.String(), tt.want) {
			t.Errorf("%s: exit code %d, %q: want %d and %q", tt.args, code, text.String(), tt.code, tt.want)
		}
	}
}
