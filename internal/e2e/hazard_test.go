package e2e

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// hazard is a pipeline whose projectors reach their database by way of proxies, one each, and with small batches: so a fault finds
// the batch that it is meant for.
type hazard struct {
	*pipeline

	proxies []*pgproxy.Proxy
	urls    []string
}

// danger says what hazard to make.
type danger struct {
	projectors int    // that have a proxy
	partitions int32  // of the topic; 0: as always
	readModel  string // URL; empty: one in the server that the tests share
	settings   []pgproxy.Setting
}

// patiently lets a held transaction be, which the server would end after 5 s: a busy machine may take that to start a projector.
var patiently = []pgproxy.Setting{{Name: "idle_in_transaction_session_timeout", Value: "1min"}}

// staying keeps a projector's partitions with it, however long a busy machine lets its heartbeats wait.
const staying = "PROJECTOR_SESSION_TIMEOUT=1m"

func endanger(t *testing.T, d danger) *hazard {
	t.Helper()
	if d.partitions == 0 {
		d.partitions = topic.Partitions
	}
	if d.readModel == "" {
		d.readModel = testenv.ReadModel(t)
	}
	h := &hazard{proxies: make([]*pgproxy.Proxy, d.projectors), urls: make([]string, d.projectors)}
	for n := range d.projectors { // before the pipeline: it must end before them
		h.proxies[n], h.urls[n] = pgproxy.Start(t, d.readModel, d.settings...)
	}
	brokers := testenv.RealBroker(t)
	h.pipeline = setupIn(t, testenv.Topic(t, brokers, d.partitions), brokers, testenv.Orders(t), d.readModel)
	return h
}

// far names a projector, by way of a proxy if it has one, and starts it.
func (h *hazard) far(n int, env ...string) *program {
	h.Helper()
	return h.member(n, env...).start()
}

// member is far without the start.
func (h *hazard) member(n int, env ...string) *program {
	h.Helper()
	env = append(env, "PROJECTOR_MAX_BATCH=40")
	if n < len(h.urls) {
		env = append(env, "READMODEL_DATABASE_URL="+h.urls[n])
	}
	return h.program(fmt.Sprintf("projector-%d", n+1), "projector", "PROJECTOR_LISTEN", []string{"run"}, env...)
}

// The requests of a batch (see projector/view, Apply): one that begins the transaction, with the fence, and one that ends it.
func begins(x *pgproxy.Exchange) bool {
	return x.Has("BEGIN") && x.Has("UPDATE projection_offsets")
}

func writes(x *pgproxy.Exchange) bool { return x.Ends("COMMIT") }

// held waits until an exchange is held.
func (h *hazard) held(at *pgproxy.Hold) *pgproxy.Hold {
	h.Helper()
	h.until("a request is held", func() bool { return closed(at.Reached()) })
	return at
}

// answered waits until the held exchange is answered, or the server has hung up, and returns what it answered to the statements.
func (h *hazard) answered(at *pgproxy.Hold) []string {
	h.Helper()
	h.until("the request is answered", func() bool { return closed(at.Done()) })
	return at.Exchange().Tags
}

// committed fails the test unless the held exchange ends in a commit.
func (h *hazard) committed(at *pgproxy.Hold) {
	h.Helper()
	if tags := h.answered(at); len(tags) == 0 || tags[len(tags)-1] != "COMMIT" {
		h.Errorf("the batch that was held ended with %q, want COMMIT", tags)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// blocks waits until another session waits for the held one's transaction.
func (h *hazard) blocks(at *pgproxy.Hold) {
	h.Helper()
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) AND query LIKE '%projection_offsets%'"
	h.until("another waits for the transaction in flight", func() bool { return h.number(h.readModel, waits, at.PID()) > 0 })
}

// holds ends a test of a hazard: all has arrived, foodctl verify counts zeros, and the read model is what one that is made from scratch
// out of the same topic, by a projector that nothing happens to, is.
func (p *pipeline) holds(traffic *program, least int64) {
	p.Helper()
	r := p.settle(traffic, least)
	url := testenv.ReadModel(p)
	scratch := p.pool(url)
	again := p.projector("rebuilt", "READMODEL_DATABASE_URL="+url, "PROJECTOR_GROUP="+testenv.Name(p))
	p.until("the read model is made from scratch", func() bool { return p.appliedIn(scratch) == r.Source.Events })
	again.stop()
	if diff := cmp.Diff(viewtest.Stored(p, p.readModel), viewtest.Stored(p, scratch)); diff != "" {
		p.Errorf("the read model (-) is not what its topic makes (+):\n%s", diff)
	}
}
