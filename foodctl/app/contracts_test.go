package app

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/contract"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

func TestContractsSaysWhatDiffersAndChangesNoEvent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		name   string
		before func()
		args   []string
		code   int
		want   string
	}{
		{name: "the repository's", code: 0, want: "as the code says"},
		{name: "none", args: []string{"--check", dir}, code: 1, want: "order.placed.v1.json: is not there"},
		{name: "written", args: []string{"--write", dir}, code: 0, want: "files written"},
		{name: "written again", args: []string{"--write", dir}, code: 0, want: ": 0 of "},
		{name: "both", args: []string{"--write", dir, "--check", dir}, code: 2, want: "--write and --check can't be used together"},
		{
			name: "another event",
			before: func() {
				if err := os.WriteFile(filepath.Join(dir, "order.placed.v1.json"), []byte(`{"type":"object"}`), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			args: []string{"--write", dir}, code: 1, want: "add a new version, as internal/event/upcast.go says",
		},
	} {
		if tt.before != nil {
			tt.before()
		}
		var out, errs strings.Builder
		code := ops.Exit(run(t.Context(), append([]string{"contracts"}, tt.args...), &out, io.Discard), &errs)
		if code != tt.code || !strings.Contains(out.String()+errs.String(), tt.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s%s", tt.name, code, tt.code, tt.want, out.String(), errs.String())
		}
	}
}

func TestTheContractNamesTheProjectorsGroup(t *testing.T) {
	t.Parallel()
	c := new(cli)
	parser, err := c.parser(io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"topics", "--brokers", "x:1"}); err != nil {
		t.Fatal(err)
	}
	if c.Topics.Group != contract.Group {
		t.Errorf("the group is %s, the contract says %s", c.Topics.Group, contract.Group)
	}
}
