package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/supervise"
	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestARebuildUnderTrafficIsKilledAndCutsOver_I10: the live read model goes on all the while, and what replaces it is its equal.
func TestARebuildUnderTrafficIsKilledAndCutsOver_I10(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	p.rebuild(60, 3_000, 500, 3)
}

// rebuild has so many orders a second placed, and once so many events are applied makes the read model anew, with kills, each as soon as
// another step of it is done.
func (p *pipeline) rebuild(rate int, events, step int64, kills int) {
	p.Helper()
	p.relay("relay")
	p.projector("projector-1", "PROJECTOR_INSTANCE=1")
	p.projector("projector-2", "PROJECTOR_INSTANCE=2")
	traffic := p.traffic(rate)
	for left := events; left > 0; left -= 10_000 {
		p.flowing(min(left, 10_000))
	}
	began := time.Now()
	r, killed := p.rebuilding(), 0
	for ; killed < kills; killed++ {
		before := p.rebuilt()
		p.until("the rebuild has gone on", func() bool { return p.rebuilt() >= before+step || r.over() })
		if r.over() {
			break
		}
		if err := r.Kill(); err != nil {
			p.Fatal(err)
		}
		p.Logf("killed at %d events", p.rebuilt())
		r = p.rebuilding()
	}
	if killed == 0 {
		p.Fatal("the rebuild was done before the first kill: the test does not test it")
	}
	var memory int64
	p.until("the rebuild is done", func() bool {
		memory = max(memory, supervise.Of(r.PID()).MaxRSS)
		return r.over()
	})
	p.Logf("%d events were there at its end, %v after its beginning; the last of its runs took %d MB at most and said:\n%s",
		p.written(), time.Since(began).Round(100*time.Millisecond), memory/1e6, r.out.String())
	if memory > rebuildMemory {
		p.Errorf("the rebuild took %d MB of memory, want %d at most", memory/1e6, rebuildMemory/1e6)
	}
	if err := r.Wait(); err != nil || !strings.Contains(r.out.String(), "they are equal") {
		p.Fatalf("rebuild: %v", err)
	}
	p.flowing(500) // through what is live now
	if got := p.number(p.readModel, "SELECT count(*) FROM cut_overs"); got != 1 {
		p.Errorf("%d cut-overs, want 1", got)
	}
	p.settle(traffic, events)
	if got := p.number(p.readModel, "SELECT sum(duplicate_events)::bigint FROM projection_offsets"); got != 0 {
		p.Errorf("%d events came to the new read model twice", got)
	}
}

// rebuildMemory is what a rebuild may take, however much it rebuilds: some more than the limit that it sets itself.
const rebuildMemory int64 = 256 << 20

// rebuilding is a rebuild that runs.
type rebuilding struct {
	*child.Process

	out bytes.Buffer
}

func (p *pipeline) rebuilding() *rebuilding {
	p.Helper()
	r := &rebuilding{}
	cmd := exec.Command(testenv.Build(p, "projector"), "rebuild")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), p.env()...), &r.out, &r.out
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = process.Kill() })
	r.Process = process
	return r
}

func (r *rebuilding) over() bool {
	select {
	case <-r.Done():
		return true
	default:
		return false
	}
}

// rebuilt is how many events the new read model reflects; 0 before there is one.
func (p *pipeline) rebuilt() int64 {
	return max(0, p.number(p.readModel, "SELECT coalesce(sum(applied_events), 0)::bigint FROM rebuild.projection_offsets"))
}
