package app

import (
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestRelayGoesOnAfterAFailover_I5_I7 kills the primary and promotes its standby. The slot is there, because the server kept it
// up, and what was published is there, because the slot waited for the standby: so the relay goes on, on a new timeline,
// without an operator.
func TestRelayGoesOnAfterAFailover_I5_I7(t *testing.T) {
	t.Parallel()
	primary := testenv.NewCluster(t)
	s := setupOn(t, primary.Orders(), testenv.Broker(t))
	var version int
	if err := s.db.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version < 170000 {
		t.Skip("standbys keep slots up from Postgres 17 on: set PG_VERSION")
	}
	_ = s.db.Close(t.Context())
	primary.Stop(pgserver.Fast)
	standby := primary.Standby("orders")
	primary.Start()
	s.db = s.connect()
	s.exec("SELECT pg_create_physical_replication_slot('" + testenv.StandbySlot + "')")
	s.exec("ALTER SYSTEM SET synchronized_standby_slots = '" + testenv.StandbySlot + "'")
	s.exec("SELECT pg_reload_conf()")
	standby.Start()

	_, stop := s.start()
	s.write(20, 2)
	s.published()
	follower := *s
	follower.config.DatabaseURL = standby.URL("orders")
	follower.db = follower.connect()
	s.wait("the standby to keep the slot", func() (kept bool) {
		s.write(1, 1) // a copy is only kept once the original has moved past it
		err := follower.db.QueryRow(t.Context(),
			"SELECT count(*) > 0 FROM pg_replication_slots WHERE slot_name = $1 AND synced AND NOT temporary", s.config.Slot).Scan(&kept)
		if err != nil {
			t.Fatal(err)
		}
		return kept
	})
	s.write(50, 2)
	s.published()
	primary.Kill()

	s.config.DatabaseURL, s.db = follower.config.DatabaseURL, follower.db
	s.exec("SELECT pg_promote()")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if at := s.checkpoint().Source.Timeline; at != 1 {
		t.Fatalf("the checkpoint was of timeline %d before the failover", at)
	}
	s.start()
	s.write(20, 2)
	s.published()
	if at := s.checkpoint().Source.Timeline; at != 2 {
		t.Errorf("the checkpoint is of timeline %d, want 2", at)
	}
}
