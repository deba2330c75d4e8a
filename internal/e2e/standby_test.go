package e2e

import (
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
)

// TestAPausedRelayThatComesBackAfterItsSuccessorCannotCommit_I6 stops a relay in the middle of a Kafka transaction until
// Postgres has given its slot to the standby. When it goes on it knows nothing of that, the network having swallowed
// Postgres's goodbye, and commits: Kafka must refuse.
func TestAPausedRelayThatComesBackAfterItsSuccessorCannotCommit_I6(t *testing.T) {
	t.Parallel()
	database := testenv.Orders(t)
	wire, url := pgproxy.Start(t, database)
	p := setupOn(t, testenv.RealBroker(t), database, testenv.ReadModel(t))
	old := p.relay("old", "ORDERS_DATABASE_URL="+url)
	p.until("the first relay publishes", func() bool { return old.is("active") })
	standby := p.relay("standby")
	p.until("the second relay stands by", func() bool { return standby.is("standby") && standby.ready() })
	p.projector("projector")
	traffic := p.traffic(60)
	p.flowing(200)

	p.pauseInTransaction(old)
	wire.Mute(true)
	p.until("the standby publishes", func() bool { return standby.is("active") })
	wire.Mute(false)
	// At once: what no successor had fenced, the broker would break off too, when its time is over.
	if p.aborted().Transactions == 0 {
		t.Error("the transaction that was open at the pause was not broken off by the successor")
	}
	p.flowing(200)
	if got := len(fencings(old)); got != 0 {
		t.Fatalf("%d refusals before the old relay has gone on", got)
	}

	old.signal(syscall.SIGCONT)
	p.until("the old relay was refused and stands by", func() bool { return len(fencings(old)) > 0 && old.is("standby") })
	t.Log(strings.TrimSpace(fencings(old)[0]))
	if got := old.metric(relaySessions); got < 2 {
		t.Errorf("the old relay began %v times, want again after it was refused", got)
	}
	if !standby.is("active") || standby.metric(relaySessions) > 2 {
		t.Error("the old relay disturbed its successor")
	}
	p.flowing(200)
	p.settle(traffic, 1000)
}

// TestAPausedRelayThatComesBackBeforeItsSuccessor_I6 lets both go on at once when the slot is free, each ready to take it:
// one publishes, the other stands by, and the transaction that was open counts once or not at all.
func TestAPausedRelayThatComesBackBeforeItsSuccessor_I6(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	old := p.relay("old")
	p.until("the first relay publishes", func() bool { return old.is("active") })
	standby := p.relay("standby")
	p.until("the second relay stands by", func() bool { return standby.is("standby") })
	p.projector("projector")
	traffic := p.traffic(60)
	p.flowing(200)

	standby.signal(syscall.SIGSTOP)
	p.pauseInTransaction(old)
	p.until("Postgres has given the old relay up", func() bool {
		return p.number(p.orders, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", p.slot) == 1
	})
	waiting := p.written()
	p.until("events wait for a relay", func() bool { return p.written() >= waiting+100 })
	old.signal(syscall.SIGCONT)
	standby.signal(syscall.SIGCONT)
	p.until("the old relay notices that it has lost the slot", func() bool { return old.metric(relaySessions) > 1 })
	p.until("one publishes and the other stands by", func() bool {
		return old.is("active") && standby.is("standby") || old.is("standby") && standby.is("active")
	})
	t.Logf("the old relay is active: %v", old.is("active"))
	p.flowing(200)
	p.settle(traffic, 1000)
}

// fencings are the log's lines that tell of a refusal by Kafka because of a newer producer.
func fencings(g *program) []string {
	return g.lines("PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")
}

// pauseInTransaction stops a relay's process at a moment at which Kafka has a transaction of it open, with events.
func (p *pipeline) pauseInTransaction(g *program) {
	p.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers))
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	id := "relay." + p.topic + "." + p.slot
	// A commit may be on its way when the relay is stopped. The broker will have come to it before it has answered as many questions
	// that were asked later, unless it is very slow.
	stays := func() bool {
		var first kadm.DescribedTransaction
		for n := range 20 {
			found, err := admin.DescribeTransactions(p.Context(), id)
			now := found[id]
			if n == 0 {
				first = now
			}
			if err != nil || now.Err != nil || now.State != "Ongoing" || len(now.Topics[p.topic]) == 0 ||
				now.StartTimestamp != first.StartTimestamp || now.ProducerEpoch != first.ProducerEpoch {
				return false
			}
		}
		return true
	}
	p.until("the relay has a transaction open", func() bool {
		g.signal(syscall.SIGSTOP)
		if stays() {
			return true
		}
		g.signal(syscall.SIGCONT)
		return false
	})
}

// TestRelaysAreReplacedOneByOne_I6 is a rolling upgrade: the standby first, then the active one, which hands over. Publishing
// goes on, and nobody is killed.
func TestRelaysAreReplacedOneByOne_I6(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	first := p.relay("first")
	p.until("the first relay publishes", func() bool { return first.is("active") })
	second := p.relay("second")
	p.until("the second relay stands by", func() bool { return second.is("standby") })
	p.projector("projector")
	traffic := p.traffic(60)
	p.flowing(200)
	for range 3 {
		second.stop()
		second.start()
		p.until("the new standby is ready", func() bool { return second.is("standby") && second.ready() })
		first.stop()
		p.until("the new relay publishes", func() bool { return second.is("active") })
		first.start()
		p.until("the old one's place is taken", func() bool { return first.is("standby") && first.ready() })
		p.flowing(100)
		first, second = second, first
	}
	if got := p.aborted().Transactions; got != 0 {
		t.Errorf("%d transactions were broken off: a relay that is stopped commits what it has at hand", got)
	}
	p.settle(traffic, 500)
}
