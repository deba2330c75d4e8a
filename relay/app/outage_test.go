package app

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// switchable is a broker whose network can be taken away: connections stay open and say nothing, as behind a cut cable.
type switchable struct {
	address string

	mu   sync.Mutex
	back chan struct{} // closed while the network is there; guarded by mu
}

func newSwitchable(t *testing.T) *switchable {
	t.Helper()
	s := &switchable{back: make(chan struct{})}
	close(s.back)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return gatedListener{l, s}, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.restore(); cluster.Close() })
	s.address = strings.Join(cluster.ListenAddrs(), ",")
	return s
}

func (s *switchable) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back = make(chan struct{})
}

func (s *switchable) restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.back:
	default:
		close(s.back)
	}
}

func (s *switchable) pass() {
	s.mu.Lock()
	back := s.back
	s.mu.Unlock()
	<-back
}

type gatedListener struct {
	net.Listener

	gate *switchable
}

func (l gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return gatedConn{c, l.gate}, nil
}

type gatedConn struct {
	net.Conn

	gate *switchable
}

func (c gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.gate.pass()
	return n, err
}

// sample watches, until stop is called, that the slot is never acknowledged above the checkpoint, and that neither goes
// back.
func (s *system) sample() (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	conn := s.connect()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var last outbox.LSN
		samples := 0
		defer func() {
			if samples == 0 {
				s.t.Error("I5: nothing was ever compared")
			}
		}()
		for ctx.Err() == nil {
			// The slot first: read after the checkpoint it could have moved on with a newer one, rightly.
			var confirmed int64
			err := conn.QueryRow(ctx, "SELECT coalesce(confirmed_flush_lsn - '0/0', 0)::bigint FROM pg_replication_slots WHERE slot_name = $1 AND active",
				s.config.Slot).Scan(&confirmed)
			if err != nil {
				continue
			}
			cp, found, err := checkpoint.Read(ctx, s.kafka, checkpoint.Topic(s.config.Topic, s.config.Slot))
			if err != nil || !found || cp.Phase != checkpoint.Streaming {
				continue
			}
			if outbox.LSN(confirmed) > cp.At.End {
				s.t.Errorf("I5: the slot is acknowledged up to %s, the checkpoint holds %s", outbox.LSN(confirmed), cp.At.End)
			}
			if cp.At.End < last {
				s.t.Errorf("I5: the checkpoint went back from %s to %s", last, cp.At.End)
			}
			last = cp.At.End
			samples++
		}
	}()
	return func() { cancel(); <-done }
}

// TestIdleCheckpointsFollowForeignLogAndNeverGoBack_I5: a transaction that stays open pins the slot's restart_lsn, so that
// after a reconnect the server decodes again from far back, and its keepalives begin there.
func TestIdleCheckpointsFollowForeignLogAndNeverGoBack_I5(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.limits.idleAge, s.limits.idleBytes = 10*time.Millisecond, 1
	_, stop := s.start()
	s.write(1, 1)
	s.published()
	defer s.sample()()

	pin, err := s.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.tx(pin, s.events(uuid.New(), 1, 2))
	s.write(5, 1)
	s.exec("CREATE TABLE elsewhere (n int)")
	for range 3 {
		before := s.checkpoint().At.End
		s.exec("INSERT INTO elsewhere SELECT generate_series(1, 2000)")
		s.wait("an idle checkpoint above the foreign log", func() bool { return s.checkpoint().At.End > before })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		at := s.checkpoint().At.End
		var restart int64
		if err := s.db.QueryRow(t.Context(), "SELECT (restart_lsn - '0/0')::bigint FROM pg_replication_slots WHERE slot_name = $1", s.config.Slot).Scan(&restart); err != nil {
			t.Fatal(err)
		}
		if outbox.LSN(restart) >= at {
			t.Fatalf("restart_lsn %s is not below the checkpoint %s: the open transaction does not pin it, and this tests nothing", outbox.LSN(restart), at)
		}
		_, stop = s.start()
	}
	if err := pin.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.published()
}

// TestFastShutdownOfPostgresEnds_I5: Postgres waits for the relay's last acknowledgement, and gets it.
func TestFastShutdownOfPostgresEnds_I5(t *testing.T) {
	t.Parallel()
	for _, kafkaAway := range []bool{false, true} {
		t.Run(map[bool]string{false: "kafka there", true: "kafka away"}[kafkaAway], func(t *testing.T) {
			t.Parallel()
			cluster, broker := testenv.NewCluster(t), newSwitchable(t)
			s := setupOn(t, cluster.Orders(), broker.address)
			s.start()
			s.write(10, 2)
			s.published()
			if kafkaAway {
				broker.cut()
				s.write(200, 10)
			}
			_ = s.db.Close(t.Context())
			began := time.Now()
			cluster.Stop(pgserver.Fast)
			t.Logf("a fast shutdown took %v", time.Since(began))
			cluster.Start()
			broker.restore()
			s.db = s.connect()
			s.write(5, 2)
			s.published()
		})
	}
}

// TestKafkaOutageKeepsTheSlotAndLosesNothing_I5: status updates go on while nothing can be published, longer than wal_sender_timeout; the
// same walsender is there afterwards.
func TestKafkaOutageKeepsTheSlotAndLosesNothing_I5(t *testing.T) {
	t.Parallel()
	broker := newSwitchable(t)
	s := setupOn(t, testenv.Orders(t), broker.address)
	s.start()
	s.write(10, 1)
	s.published()
	walsender := s.walsender()
	broker.cut()
	s.write(50, 200)
	until := time.Now().Add(8 * time.Second) // wal_sender_timeout is 5 s
	s.wait("a status update after the sender's time-out", func() bool {
		var last *time.Time
		err := s.db.QueryRow(t.Context(), "SELECT reply_time FROM pg_stat_replication WHERE pid = $1", walsender).Scan(&last)
		if err != nil {
			t.Fatalf("the walsender is gone: %v", err)
		}
		return last != nil && last.After(until)
	})
	broker.restore()
	s.published()
	if now := s.walsender(); now != walsender {
		t.Errorf("walsender %d became %d: the slot was lost on the way", walsender, now)
	}
}

// TestWithoutABrokerTheSlotStaysInHand_I5: each time that a slot is taken, Postgres decodes from its beginning.
func TestWithoutABrokerTheSlotStaysInHand_I5(t *testing.T) {
	t.Parallel()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	s := setupOn(t, testenv.Orders(t), broker.ListenAddrs()[0])
	_, stop := s.start()
	s.write(1, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	broker.Close()
	s.config.Brokers = append(s.config.Brokers, "127.0.0.1:1") // of several, the client asks one after the other
	r, stop := s.start()
	walsender := s.walsender()
	s.wait("the relay to say why it is not ready", func() bool {
		err := r.health.Ready()
		return err != nil && strings.Contains(err.Error(), "reach a broker")
	})
	sessions := testutil.ToFloat64(r.metrics.sessions)
	until := time.Now().Add(backOffMax)
	s.wait("longer than a session would take that begins anew", func() bool { return time.Now().After(until) })
	if now := s.walsender(); now != walsender || testutil.ToFloat64(r.metrics.sessions) != sessions {
		t.Errorf("walsender %d became %d, session %v became %v", walsender, now, sessions, testutil.ToFloat64(r.metrics.sessions))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func (s *system) walsender() (pid int) {
	s.t.Helper()
	s.wait("the slot to be active", func() bool {
		return s.db.QueryRow(s.t.Context(), "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1 AND active", s.config.Slot).Scan(&pid) == nil
	})
	return pid
}

// TestStandbyTakesOver_I6: of two relays one publishes, the other is ready and touches nothing until the first is gone.
func TestStandbyTakesOver_I6(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, stopFirst := s.start()
	s.write(5, 1)
	s.published()
	second, _ := s.start()
	s.wait("the second to stand by", func() bool { return role(second) == roleStandby && second.health.Ready() == nil })
	s.write(5, 1)
	s.published()
	if err := stopFirst(); err != nil {
		t.Fatal(err)
	}
	s.write(5, 1)
	s.published()
	s.wait("the second to be active", func() bool { return role(second) == roleActive })
}

// TestLargeTransactionIsSplitAtARecordedPlace_I3: killed between the parts, it goes on behind the last one.
func TestLargeTransactionIsSplitAtARecordedPlace_I3(t *testing.T) {
	t.Parallel()
	const rows = 20_000 // so many parts that three of them are over long before the last
	s := setup(t)
	s.limits.softEvents, s.limits.hardEvents = 100, 500
	_, stop := s.start()
	s.write(1, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.write(1, rows)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		at := s.checkpoint().Events
		go func() { done <- s.relay().supervise(ctx, t.Context()) }()
		s.wait("part of the transaction", func() bool { return s.checkpoint().Events > at })
		cancel() // not a stop: everything under way fails
		if err := <-done; err == nil {
			t.Fatal("a relay that was cut off in the middle says that it has finished")
		}
	}
	s.start()
	for i, m := range s.published() {
		if m.Source.Last != (m.Version == rows) && m.Source.Commit > 0 && i > 1 {
			t.Fatalf("version %d of 20000: last of its transaction is %v", m.Version, m.Source.Last)
		}
	}
}

func TestWALHeldBackAboveTheBoundFailsReadiness_I11(t *testing.T) {
	t.Parallel()
	broker := newSwitchable(t)
	s := setupOn(t, testenv.Orders(t), broker.address)
	s.config.MaxRetainedWAL = 4 << 20
	r, _ := s.start()
	s.write(1, 1)
	s.published()
	s.wait("the relay to be ready", func() bool { return r.health.Ready() == nil })
	broker.cut()
	s.write(10, 1000)
	s.exec("CREATE TABLE elsewhere AS SELECT n, repeat('x', 100) AS filler FROM generate_series(1, 50000) AS n")
	s.wait("readiness to fail", func() bool {
		err := r.health.Ready()
		return err != nil && strings.Contains(err.Error(), "holds back")
	})
	broker.restore()
	s.published()
}
