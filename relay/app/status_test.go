package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/auth"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// status asks as the command does.
func (s *system) status(addresses ...string) (now status, err error) {
	s.t.Helper()
	var out bytes.Buffer
	err = s.relay().report(s.t.Context(), &statusCommand{Relays: addresses, JSON: true}, &out)
	if err := json.Unmarshal(out.Bytes(), &now); err != nil {
		s.t.Fatalf("%v: %s", err, out.String())
	}
	var exit *ops.ExitError
	if (len(now.NotReady) > 0) != errors.As(err, &exit) {
		s.t.Errorf("ended with %v, not ready is %q", err, now.NotReady)
	}
	return now, err
}

// serve runs a relay that answers at an address, until the test ends.
func (s *system) serve() (address string) {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	r, _ := s.start()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	served := make(chan error, 1)
	go func() { served <- ops.ServeOn(ctx, listener, new(auth.Guard), ops.Handler(r.registry, r.health)) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			s.t.Error(err)
		}
	})
	return listener.Addr().String()
}

func TestStatusNamesTheActiveRelayAndTheStandby(t *testing.T) {
	t.Parallel()
	s := setup(t)
	active := s.serve()
	s.write(20, 2)
	s.published()
	standby := s.serve()
	var now status
	s.wait("the second relay to stand by, and the slot to be seen", func() bool {
		now, _ = s.status(active, standby)
		return len(now.NotReady) == 0 && now.Relays[1].Role == roleStandby
	})
	if now.Relays[0].Role != roleActive || now.Relays[0].Address != active {
		t.Errorf("got %+v", now.Relays)
	}
	if !now.Slot.Active || now.Slot.Holder == nil || now.Slot.Holder.Name != "relay" || now.Slot.Status != "reserved" {
		t.Errorf("got slot %+v", now.Slot)
	}
	if now.Checkpoint.Events != 40 || now.Checkpoint.Phase != checkpoint.Streaming {
		t.Errorf("got checkpoint %+v", now.Checkpoint)
	}
	if now.Behind.Events == nil || *now.Behind.Events != 0 {
		t.Errorf("got %+v behind", now.Behind)
	}
}

// TestStatusWithoutRelays is what Postgres and Kafka alone say of a relay that has stopped.
func TestStatusWithoutRelaysIsWhatTheServersSay(t *testing.T) {
	t.Parallel()
	s := setup(t)
	now, _ := s.status("127.0.0.1:1")
	if len(now.NotReady) != 2 || !strings.Contains(now.NotReady[0],
		"does not exist") || !strings.Contains(now.NotReady[1], "holds no checkpoint") {
		t.Errorf("before a first start: %q", now.NotReady)
	}
	_, stop := s.start()
	s.write(10, 1)
	s.published()
	if now, err := s.status("127.0.0.1:1"); err != nil || now.Relays[0].Error == "" || now.Relays[0].Role != "" {
		t.Errorf("beside a relay that cannot be asked: %+v, %v", now, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.write(5, 3)
	now, _ = s.status("127.0.0.1:1")
	if len(now.NotReady) != 1 || !strings.Contains(now.NotReady[0], "no relay holds slot") || now.Slot.Holder != nil {
		t.Errorf("without a relay: %q, slot %+v", now.NotReady, now.Slot)
	}
	if now.Behind.Events == nil || *now.Behind.Events != 15 || now.Behind.Bytes <= 0 || *now.Behind.Age <= 0 {
		t.Errorf("behind: %+v, want 15 events", now.Behind)
	}
	s.config.Reason = "an operator's words"
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now, _ := s.status("127.0.0.1:1"); now.Checkpoint.Reason != "an operator's words" || *now.Behind.Events != 0 {
		t.Errorf("after a recovery: %+v, %+v", now.Checkpoint, now.Behind)
	}
}

func TestStatusSaysWhichServerIsAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, stop := s.start()
	s.write(10, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	brokers := s.config.Brokers
	s.config.Brokers = []string{"127.0.0.1:1"}
	now, _ := s.status("127.0.0.1:1")
	if now.Checkpoint != nil || now.Slot == nil || len(now.NotReady) != 2 || !strings.HasPrefix(now.NotReady[1],
		"Kafka: ") {
		t.Errorf("without Kafka: %+v", now)
	}
	s.config.Brokers, s.config.DatabaseURL = brokers, "postgres://relay:secret@127.0.0.1:1/orders"
	now, _ = s.status("127.0.0.1:1")
	if now.Slot != nil || now.Checkpoint == nil || now.Checkpoint.Events != 10 || len(now.NotReady) != 1 || !strings.HasPrefix(now.NotReady[0], "Postgres: ") {
		t.Errorf("without Postgres: %+v", now)
	}
	if strings.Contains(strings.Join(now.NotReady, ""), "secret") {
		t.Errorf("the password is in %q", now.NotReady)
	}
}

// TestStatusCountsDown has a slot with a limit, and a server that writes.
func TestStatusCountsDown_I11(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	s := setupOn(t, cluster.Orders(), testenv.Broker(t))
	s.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
	s.exec("SELECT pg_reload_conf()")
	_, stop := s.start()
	s.write(1, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	writer := s.connect()
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for ctx.Err() == nil {
			_, _ = writer.Exec(ctx, "SELECT pg_logical_emit_message(true, 'test', repeat('x', 10000))") // until it is cancelled
		}
	}()
	var out strings.Builder
	err := s.relay().report(t.Context(), &statusCommand{Relays: []string{"127.0.0.1:1"}}, &out)
	cancel()
	<-written
	if ops.Exit(err, &out) != 1 || strings.Contains(out.String(), "error:") {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{
		"relay       127.0.0.1:1 does not answer\n", "slot        " + s.config.Slot + ", reserved, not in use\n", "; unacknowledged, it is lost in ",
		"checkpoint  ", "behind      ", "not ready   no relay holds slot " + s.config.Slot,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestSpansAndSizesAreReadable(t *testing.T) {
	t.Parallel()
	for span, want := range map[time.Duration]string{
		-time.Second: "0s", 1234 * time.Millisecond: "1.2s", 90*time.Second + time.Millisecond: "1m30s", 50 * time.Hour: "2d2h0m",
	} {
		if got := ago(span); got != want {
			t.Errorf("%v: got %s, want %s", span, got, want)
		}
	}
	for bytes, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 30: "3.0 GiB",
		5 << 50: "5120.0 TiB",
	} {
		if got := size(bytes); got != want {
			t.Errorf("%d: got %s, want %s", bytes, got, want)
		}
	}
}
