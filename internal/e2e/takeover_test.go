package e2e

import (
	"slices"
	"syscall"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// TestATakeoverWaitsForTheTransactionInFlight_I8 kills a projector behind its fence, while the request that would commit its batch is
// on its way, and starts it again under its name: it has its partitions back at once, and Postgres has not noticed yet that its
// predecessor is gone. A claim that did not wait would go on from the offset before the batch, and the batch would commit all
// the same: its events would be applied twice.
func TestATakeoverWaitsForTheTransactionInFlight_I8(t *testing.T) {
	t.Parallel()
	h := endanger(t, danger{projectors: 1, settings: patiently})
	h.relay("relay")
	victim := h.far(0, "PROJECTOR_INSTANCE=1", staying)
	other := h.projector("projector-2", "PROJECTOR_INSTANCE=2", staying)
	traffic := h.traffic(40)
	h.until("both have a share", func() bool { return shared(topic.Partitions, victim, other) })
	h.flowing(100)
	for _, arrives := range []bool{true, false, true} {
		claims := h.claims()
		flight := h.held(h.proxies[0].Hold(pgproxy.Request, writes))
		victim.kill()
		victim.start()
		h.blocks(flight)
		if got := h.claims(); got != claims {
			t.Errorf("%d claims while a transaction is in flight, %d before it", got, claims)
		}
		if arrives {
			flight.Release()
			h.committed(flight)
		} else {
			flight.Cut()
		}
		h.until("the successor has claimed", func() bool { return h.claims() > claims })
		h.flowing(100)
		if got := victim.metric(projectorFenced); got != 0 { // it has begun somewhere else than where its predecessor ended
			t.Errorf("%v batches of the successor fenced, want none", got)
		}
	}
	h.holds(traffic, 500)
}

// TestAProjectorThatWasStoppedPastItsSessionAppliesNothing_I8 stops a process with one batch on its way to the database and another
// between its fence and its commit, until a second one has all its partitions and has applied what was in those batches, and then lets it
// go on. What it then does is right for all that it knows. Without the fence it would apply the first batch again; a
// transaction that stayed open as long as its process is stopped would keep the second one from its partition.
func TestAProjectorThatWasStoppedPastItsSessionAppliesNothing_I8(t *testing.T) {
	t.Parallel()
	h := endanger(t, danger{projectors: 1})
	h.relay("relay")
	stopped := h.far(0)
	traffic := h.traffic(40)
	h.flowing(100)

	late, open := h.proxies[0].Hold(pgproxy.Request, begins), h.proxies[0].Hold(pgproxy.Request, writes)
	h.held(late)
	h.held(open)
	stopped.signal(syscall.SIGSTOP)
	second := h.projector("projector-2")
	h.until("the second projector has all partitions", func() bool { return assigned(second) == topic.Partitions })
	h.flowing(200)

	late.Release() // now, so that it arrives whatever the process does first when it goes on
	if tags := h.answered(late); !slices.Contains(tags, "UPDATE 0") {
		t.Errorf("the batch that came late was answered with %q, want UPDATE 0: it was not fenced", tags)
	}
	open.Release()
	if tags := h.answered(open); len(tags) != 0 {
		t.Errorf("the batch that was open was answered with %q, want nothing: Postgres has ended its session", tags)
	}
	stopped.signal(syscall.SIGCONT)
	h.until("the first projector has a share again", func() bool { return assigned(stopped) > 0 })
	h.flowing(200)
	t.Logf("%v batches fenced in the process that was stopped", stopped.metric(projectorFenced))
	h.holds(traffic, 500)
}
