package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// refill does what the relay's refusal says: it fills the topic from the outbox.
func (p *pipeline) refill(reason string) {
	p.Helper()
	p.run(testenv.Build(p, "relay"), "recover", "--reason="+reason)
}

// overtake does what the projectors' refusal says: it makes the read model anew from the topic that is there.
func (p *pipeline) overtake() {
	p.Helper()
	p.run(testenv.Build(p, "projector"), "rebuild", "--overtake")
}

// run runs a command with the programs' environment.
func (p *pipeline) run(program string, args ...string) {
	p.Helper()
	cmd := exec.CommandContext(p.Context(), program, args...)
	cmd.Env = append(os.Environ(), p.env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
}
