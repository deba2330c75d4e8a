package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// refill does what the relay's refusal says: it fills the topic from the outbox.
func (p *pipeline) refill(reason string) {
	p.Helper()
	p.run(testenv.Build(p, "relay"), "recover", "--reason="+reason)
}

// emptyReadModel does what the runbook says, where projectors have stopped.
func (p *pipeline) emptyReadModel() {
	p.Helper()
	foodctl := testenv.Build(p, "foodctl")
	p.run(foodctl, "migrate", "down", "--yes", "--readmodel-url", p.readModelURL)
	p.run(foodctl, "migrate", "--readmodel-url", p.readModelURL)
}

// run runs a command with the programs' environment, but that of foodctl migrate must not reach the orders.
func (p *pipeline) run(program string, args ...string) {
	p.Helper()
	cmd := exec.CommandContext(p.Context(), program, args...)
	cmd.Env = append(os.Environ(), p.env()...)
	if args[0] == "migrate" {
		cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "ORDERS_DATABASE_URL=") })
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		p.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
}
