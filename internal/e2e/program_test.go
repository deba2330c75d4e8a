package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/status"
	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// program is one of the pipeline's programs: the same one over all of its processes.
type program struct {
	*pipeline

	name    string
	path    string
	args    []string
	env     []string
	address string // of its metrics
	log     string // path; all of its processes write to it

	process *child.Process // the newest
	wanted  bool           // it is to run: if it ends by itself it is started again, as a supervisor would
	pids    []int          // of all its processes
	exits   int            // times that it ended by itself

	// felt adds up, by metric, what the processes that were killed had counted.
	felt map[string]float64
}

// The counters that tell that a fault was felt. A kill loses what was counted since the last look at them.
const (
	relaySessions    = "relay_sessions_total"
	relayPublished   = "relay_published_events_total"
	relaySkipped     = "relay_recovered_transactions_skipped_total"
	projectorFenced  = "projector_fenced_batches_total"
	projectorJoined  = "projector_rebalances_total"
	generatorErrors  = "generator_errors_total"
	projectorTwice   = "projector_duplicate_events_total"
	projectorClaimed = "projector_assigned_partitions"
)

var counters = []string{
	relaySessions, relayPublished, relaySkipped, projectorFenced, projectorJoined, projectorTwice, generatorErrors,
}

// program names a program without starting it. listen is the variable that it takes its address from.
func (p *pipeline) program(name, built, listen string, args []string, env ...string) *program {
	p.Helper()
	port, err := ports.Free()
	if err != nil {
		p.Fatal(err)
	}
	g := &program{
		pipeline: p, name: name, path: testenv.Build(p, built), args: args,
		address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		log:     filepath.Join(p.logs, fmt.Sprintf("%d-%s.log", len(p.programs), name)), felt: make(map[string]float64),
	}
	g.env = append(append(os.Environ(), p.env()...), append(env, listen+"="+g.address)...)
	p.programs = append(p.programs, g)
	return g
}

// relay names a relay and starts it.
func (p *pipeline) relay(name string, env ...string) *program {
	p.Helper()
	return p.program(name, "relay", "RELAY_LISTEN", []string{"run"}, env...).start()
}

// projector names a projector and starts it.
func (p *pipeline) projector(name string, env ...string) *program {
	p.Helper()
	return p.program(name, "projector", "PROJECTOR_LISTEN", []string{"run"}, env...).start()
}

// orderservice names an orderservice and starts it.
func (p *pipeline) orderservice(env ...string) *program {
	p.Helper()
	return p.program("orderservice", "orderservice", "ORDERSERVICE_LISTEN", []string{"run"}, env...).start()
}

// traffic starts an orderservice that places so many orders a second, without end.
func (p *pipeline) traffic(rate int) *program {
	p.Helper()
	return p.orderservice("GENERATE=true", "RATE="+strconv.Itoa(rate), "RUN=e2e")
}

func (g *program) start() *program {
	g.Helper()
	log, err := os.OpenFile(g.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(g.path, g.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = g.env, log, log
	if g.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		g.Fatal(err)
	}
	g.pids = append(g.pids, g.process.PID())
	g.wanted = true
	return g
}

func (g *program) signal(s syscall.Signal) {
	g.Helper()
	if err := g.process.Signal(s); err != nil {
		g.Fatalf("%s to %s: %v", s, g.name, err)
	}
}

// kill ends the program with SIGKILL.
func (g *program) kill() {
	g.Helper()
	g.remember()
	g.strike()
	<-g.process.Done()
}

// strike is kill without waiting for the end.
func (g *program) strike() {
	g.Helper()
	g.wanted = false
	g.signal(syscall.SIGKILL)
}

// remember keeps what the process has counted, because it will not be asked again.
func (g *program) remember() {
	m, err := status.Scrape(g.Context(), g.url())
	if err != nil {
		return // it had hardly begun
	}
	for _, name := range counters {
		g.felt[name] += m.Sum(name)
	}
}

// stopTimeout is longer than any program's drain.
const stopTimeout = 45 * time.Second

// stop ends the program with SIGTERM, which it must take with exit code 0.
func (g *program) stop() {
	g.Helper()
	g.remember()
	g.wanted = false
	g.signal(syscall.SIGTERM)
	select {
	case <-g.process.Done():
		if err := g.process.Wait(); err != nil {
			g.Errorf("%s took SIGTERM with %v, want exit code 0: %s", g.name, err, g.lastLine())
		}
	case <-time.After(stopTimeout):
		g.Errorf("%s was still there %s after SIGTERM", g.name, stopTimeout)
	}
}

// supervise starts the program again if it has ended by itself. What no restart can mend fails the test.
func (g *program) supervise() {
	g.Helper()
	if !g.wanted {
		return
	}
	select {
	case <-g.process.Done():
	default:
		return
	}
	err := g.process.Wait()
	g.exits++
	if code := exitCode(err); g.exits > 20 || code == 2 || code == 3 || code == 4 {
		g.Fatalf("%s gave up with %v, the %d. time: %s", g.name, err, g.exits, g.lastLine())
	}
	g.Logf("%s ended by itself with %v and is started again: %s", g.name, err, g.lastLine())
	g.start()
}

func exitCode(err error) int {
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		return exit.ExitCode()
	}
	return 0
}

func (g *program) url() string { return "http://" + g.address }

// ready says whether it does its work, a standby's included.
func (g *program) ready() bool { return status.Ready(g.Context(), g.url()) }

// metric is a counter or gauge of the running process, 0 if it does not answer.
func (g *program) metric(name string) float64 {
	m, err := status.Scrape(g.Context(), g.url())
	if err != nil {
		return 0
	}
	return m.Sum(name)
}

// total is a counter over all processes.
func (g *program) total(name string) float64 { return g.felt[name] + g.metric(name) }

// is says whether a relay has a role.
func (g *program) is(role string) bool {
	m, err := status.Scrape(g.Context(), g.url())
	return err == nil && m.Is("relay_role", "role", role)
}

// lines are the log's lines that hold one of the texts.
func (g *program) lines(texts ...string) []string {
	g.Helper()
	b, err := os.ReadFile(g.log)
	if err != nil {
		g.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		for _, text := range texts {
			if strings.Contains(line, text) {
				found = append(found, line)
				break
			}
		}
	}
	return found
}

func (g *program) lastLine() string {
	all := g.lines("")
	if len(all) == 0 {
		return "it said nothing"
	}
	return strings.TrimSpace(all[len(all)-1])
}

// dump shows the end of the log.
func (g *program) dump() {
	const most = 60
	all := g.lines("")
	cut := max(0, len(all)-most)
	g.Logf("%s, pids %v, the last %d of %d lines:\n%s", g.name, g.pids, len(all)-cut, len(all), strings.Join(all[cut:], ""))
}

// String names the program and its process.
func (g *program) String() string { return fmt.Sprintf("%s (pid %d)", g.name, g.process.PID()) }
