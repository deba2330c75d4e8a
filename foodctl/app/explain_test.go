package app

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/explain"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

func TestExplainPrintsTheTableOrOneInFull(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 0, "foodctl explain NUMBER"},
		{[]string{"i6"}, 0, "go test -run '^TestTheFenceComesBeforeTheCheckpointIsRead_I6$' ./relay/app"},
		{[]string{"zombie"}, 0, "I6  At most one relay can commit."},
		{[]string{"exactly", "once"}, 0, "foodctl explain NUMBER"},
		{[]string{"quantum", "entanglement"}, 1, `no guarantee is about "quantum entanglement"`},
	} {
		var out, errs strings.Builder
		code := ops.Exit(run(t.Context(), append([]string{"explain"}, tt.args...), &out, io.Discard), &errs)
		if code != tt.code || !strings.Contains(out.String()+errs.String(), tt.want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out.String(), errs.String())
		}
	}
}

func TestWhatExplainSaysToTryIsACommand(t *testing.T) {
	t.Parallel()
	for _, g := range explain.All() {
		for _, command := range g.Try {
			args := words(command)
			if args[0] != "foodctl" {
				continue
			}
			parser, err := new(cli).parser(io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(args[1:]); err != nil {
				t.Errorf("%s: %s: %v", g.Name, command, err)
			}
		}
	}
}

// words splits a command as a shell does, as far as commands in the documents need it: double and single quotes, and comments.
func words(command string) (list []string) {
	for _, m := range regexp.MustCompile(`#.*|"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(command, -1) {
		if !strings.HasPrefix(m[0], "#") {
			list = append(list, m[1]+m[2]+m[3])
		}
	}
	return list
}
