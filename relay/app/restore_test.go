package app

import (
	"errors"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// TestRestoredDatabaseIsRefusedUntilTheTopicIsMadeAnew_I7 puts an older copy of the database's files back. It has the same system identifier and
// the same timeline, so that only its log's end, or later its contents, can tell.
func TestRestoredDatabaseIsRefusedUntilTheTopicIsMadeAnew_I7(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	s := setupOn(t, cluster.Orders(), testenv.Broker(t))
	publish := func() {
		_, stop := s.start()
		s.write(20, 2)
		s.published()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	restart := func(whileDown func()) {
		_ = s.db.Close(t.Context())
		cluster.Stop(pgserver.Fast)
		whileDown()
		cluster.Start()
		s.db = s.connect()
	}
	publish()
	var restore func()
	restart(func() { restore = cluster.Backup() })
	publish()
	restart(func() { restore() })

	s.refused(s.relay().supervise(t.Context(), t.Context()), checkpoint.GateLog)

	s.write(200, 5) // until the log is longer than the checkpoint's position
	s.refused(s.relay().supervise(t.Context(), t.Context()), checkpoint.GateCanary)

	s.config.Reason = "test: restored"
	var refusal *checkpoint.Refusal
	if err := s.relay().recover(t.Context()); !errors.As(err, &refusal) {
		t.Fatalf("recover with events in the topic that the database has lost: got %v, want a refusal", err)
	}
	s.topicAnew()
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatalf("recover: %v", err)
	}
	s.start()
	s.write(5, 1)
	s.published()
}

// TestSlotWhoseLogIsGoneIsRefusedAndMadeAnewByRecover_I7: the log grew above max_slot_wal_keep_size while no relay ran.
func TestSlotWhoseLogIsGoneIsRefusedAndMadeAnewByRecover_I7(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	s := setupOn(t, cluster.Orders(), testenv.Broker(t))
	_, stop := s.start()
	s.write(20, 2)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
	s.exec("SELECT pg_reload_conf()")
	s.write(20, 2)
	s.exec("CREATE TABLE elsewhere (filler text)")
	s.wait("the slot to be lost", func() bool {
		s.exec("INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
		s.exec("SELECT pg_switch_wal()")
		s.exec("CHECKPOINT")
		slot, err := wal.Inspect(t.Context(), s.db, s.config.Slot)
		return err == nil && slot.Status == "lost"
	})
	s.refused(s.relay().supervise(t.Context(), t.Context()), checkpoint.GateSlot)

	s.config.Reason = "test: lost"
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatalf("recover: %v", err)
	}
	s.start()
	s.write(5, 1)
	s.published()
}
