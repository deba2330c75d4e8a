package e2e

import (
	"net"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestServersDieUnderLoad_I4_I5_I8_I12 restarts and kills the broker, restarts and kills Postgres, and at last kills
// everything at once. It is one system that goes through all of it, and it must be right after each.
func TestServersDieUnderLoad_I4_I5_I8_I12(t *testing.T) {
	t.Parallel()
	kafka, postgres := testenv.Kafka(t), testenv.NewCluster(t)
	p := setupOn(t, kafka.Address(), postgres.Orders(), postgres.ReadModel())
	s := &system{pipeline: p, kafka: kafka, postgres: postgres, relay: p.relay("relay")}
	s.projector("projector-1", "PROJECTOR_INSTANCE=1")
	s.projector("projector-2", "PROJECTOR_INSTANCE=2")
	s.traffic = p.traffic(60)
	least := int64(500)
	for _, fault := range []struct {
		name string
		hit  func()
	}{
		{"broker restarted", func() { s.withoutBroker(kafka.Stop) }},
		{"broker killed", func() { s.withoutBroker(kafka.Kill) }},
		{"Postgres restarted at once", func() { s.withoutPostgres(func() { postgres.Stop(pgserver.Immediate) }) }},
		{"Postgres killed", func() { s.withoutPostgres(postgres.Kill) }},
		{"everything killed", s.withoutAnything},
	} {
		began := time.Now()
		if !s.traffic.wanted {
			s.traffic.start()
		}
		s.flowing(200)
		fault.hit()
		s.flowing(300)
		least = s.settle(s.traffic, least+500).Source.Events
		if t.Failed() {
			t.Fatalf("wrong after: %s", fault.name)
		}
		t.Logf("%s: took %s", fault.name, time.Since(began).Round(time.Second))
	}
	aborted := s.aborted()
	t.Logf("%d transactions broken off, at least %v read again and dropped", aborted.Transactions, s.relay.total(relaySkipped))
	for _, g := range p.programs {
		t.Logf("%s had %d processes, %d of which ended by themselves", g.name, len(g.pids), g.exits)
	}
}

// system is a pipeline with servers of its own.
type system struct {
	*pipeline

	kafka          *testenv.KafkaServer
	postgres       *testenv.Cluster
	relay, traffic *program
}

// withoutBroker ends the broker, and starts it when orders have gone on without it.
func (s *system) withoutBroker(end func()) {
	s.Helper()
	end()
	if conn, err := net.Dial("tcp", s.brokers); err == nil {
		conn.Close()
		s.Fatalf("something still answers at %s", s.brokers)
	}
	before := s.written()
	s.until("orders go on without a broker", func() bool { return s.written() >= before+200 })
	if left := s.written() - s.applied(); left < 200 {
		s.Errorf("only %d events wait for the broker, want at least 200: its absence was not felt", left)
	}
	s.kafka.Start()
}

const postmasterStart = "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1e6)::bigint"

// withoutPostgres ends the server of both databases, and starts it again when the programs have noticed.
func (s *system) withoutPostgres(end func()) {
	s.Helper()
	before, sessions, failures := s.number(s.orders, postmasterStart), s.relay.total(relaySessions), s.traffic.metric(generatorErrors)
	end()
	s.until("the generator and the relay meet errors", func() bool {
		return s.traffic.metric(generatorErrors) > failures && s.relay.total(relaySessions) > sessions
	})
	s.postgres.Start()
	s.until("Postgres answers again", func() bool { return s.number(s.orders, postmasterStart) > 0 })
	if now := s.number(s.orders, postmasterStart); now <= before {
		s.Error("it is the same Postgres process as before")
	}
}

// withoutAnything kills all programs and servers, and starts them in a random order. Programs that find no server yet
// have to wait for it.
func (s *system) withoutAnything() {
	s.Helper()
	var dead []<-chan struct{}
	starts := []func(){s.kafka.Start, s.postgres.Start}
	dice := s.dice()
	for _, i := range dice.Perm(len(s.programs)) {
		g := s.programs[i]
		g.strike()
		dead = append(dead, g.process.Done())
		starts = append(starts, func() { g.start() })
	}
	s.kafka.Kill()
	s.postgres.Kill()
	for _, gone := range dead {
		<-gone
	}
	dice.Shuffle(len(starts), func(i, j int) { starts[i], starts[j] = starts[j], starts[i] })
	for _, start := range starts {
		start()
	}
}
