package wal

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/layout"
)

func TestSlotInUseAndSlotMissingAreErrorsToBranchOn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	if _, err := Open(t.Context(), s.replication(), s.slot, layout.Own()); !errors.Is(err, ErrSlotActive) {
		t.Errorf("open one in use: %v", err)
	}
	if _, _, err := CreateSlot(t.Context(), s.replication(), s.slot); !errors.Is(err, ErrSlotActive) {
		t.Errorf("make one that is there: %v", err)
	}
	if err := DropSlot(t.Context(), s.replication(), s.slot); !errors.Is(err, ErrSlotActive) {
		t.Errorf("drop one in use: %v", err)
	}
	if !s.inspect().Active {
		t.Error("the slot in use was taken from its stream")
	}
	insert(t, s.db, 1)
	r.transaction()

	none := testenv.Name(t)
	if _, err := Open(t.Context(), s.replication(), none, layout.Own()); !errors.Is(err, ErrNoSlot) {
		t.Errorf("open one that is missing: %v", err)
	}
	if _, err := Inspect(t.Context(), s.db, none); !errors.Is(err, ErrNoSlot) {
		t.Errorf("inspect one that is missing: %v", err)
	}
	if err := DropSlot(t.Context(), s.replication(), none); err != nil {
		t.Errorf("drop one that is missing: %v", err)
	}
}

// TestSlotIsOneThatStandbysKeep_I7 holds what a failover depends on: without it the promoted server has no slot, and the relay
// refuses to go on.
func TestSlotIsOneThatStandbysKeep_I7(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var version int
	var failover bool
	// Through JSON, because servers before 17 have no such column.
	err := s.db.QueryRow(t.Context(), `
SELECT current_setting('server_version_num')::int, coalesce((to_jsonb(s) ->> 'failover')::boolean, false)
FROM pg_replication_slots s
WHERE slot_name = $1`, s.slot).Scan(&version, &failover)
	if err != nil {
		t.Fatal(err)
	}
	if failover != (version >= 170000) {
		t.Errorf("on version %d the slot's failover is %t", version, failover)
	}
}

func TestSlotOptionsByVersion(t *testing.T) {
	t.Parallel()
	for version, modern := range map[string]bool{
		"15.8": false, "16.4 (Debian 16.4-1)": false, "17.0": true, "18beta1": true, "18.4 (Debian 18.4-1.pgdg13+1)": true, "": false, "?": false,
	} {
		if got := strings.Contains(slotOptions(version), "FAILOVER"); got != modern {
			t.Errorf("%q: %q", version, slotOptions(version))
		}
	}
}

func TestDropSlotWaitsForAStreamThatEnds(t *testing.T) {
	t.Parallel()
	s := setup(t)
	r := s.stream()
	dropped := make(chan error, 1)
	conn := s.replication()
	go func() { dropped <- DropSlot(t.Context(), conn, s.slot) }()
	wait(t, "the drop to wait", func() bool {
		var waiting bool
		err := s.db.QueryRow(t.Context(),
			"SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'ReplicationSlotDrop' AND datname = current_database()").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		return waiting
	})
	_ = r.stop()
	if err := <-dropped; err != nil {
		t.Error(err)
	}
	if _, err := Inspect(t.Context(), s.db, s.slot); !errors.Is(err, ErrNoSlot) {
		t.Errorf("got %v", err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := setup(t)
	conn := s.replication()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, conn, s.slot, layout.Own()); err == nil {
		t.Error("a stream without a context")
	}
	s.free()
}

func TestInspectTellsASlotThatIsNotOurs(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if got := s.inspect(); !got.Usable || got.Active || got.Confirmed == 0 || got.Status != "reserved" || got.Lag < 0 || got.Retained < got.Lag {
		t.Errorf("got %+v", got)
	}
	before := s.inspect()
	insert(t, s.db, 100)
	if got := s.inspect(); got.Confirmed != before.Confirmed || got.Lag <= before.Lag || got.Retained <= before.Retained {
		t.Errorf("got %+v, was %+v", got, before)
	}

	elsewhere := setup(t)
	if got, err := Inspect(t.Context(), s.db, elsewhere.slot); got.Usable || err != nil {
		t.Errorf("of another database: %+v, %v", got, err)
	}
	physical := testenv.Name(t)
	s.exec("SELECT pg_create_physical_replication_slot($1)", physical)
	t.Cleanup(func() {
		if _, err := s.db.Exec(context.Background(), "SELECT pg_drop_replication_slot($1)", physical); err != nil {
			t.Error(err)
		}
	})
	if got, err := Inspect(t.Context(), s.db, physical); got.Usable || err != nil {
		t.Errorf("a physical one: %+v, %v", got, err)
	}
}

func TestFingerprintChangesWithWhatThePublicationLetsThrough_I7(t *testing.T) {
	t.Parallel()
	s := setupWithoutSlot(t)
	var former []string
	fingerprint := func() string {
		t.Helper()
		got, was, err := Fingerprint(t.Context(), s.db, layout.Own())
		if err != nil {
			t.Fatal(err)
		}
		former = append(former, was)
		return got
	}
	all := fingerprint()
	if again := fingerprint(); again != all {
		t.Errorf("%s and then %s", all, again)
	}
	s.exec("ALTER PUBLICATION outbox SET TABLE outbox (seq, id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at)")
	listed := fingerprint()
	s.exec("DROP PUBLICATION outbox")
	s.exec("CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert')")
	if again := fingerprint(); listed == all || again == all || again == listed {
		t.Errorf("got %s, %s with a column list, %s made anew", all, listed, again)
	}
	for _, undone := range []string{
		"ALTER PUBLICATION outbox DROP TABLE outbox; ALTER PUBLICATION outbox ADD TABLE outbox",
		"ALTER PUBLICATION outbox SET (publish = ''); ALTER PUBLICATION outbox SET (publish = 'insert')",
		"ALTER PUBLICATION outbox SET TABLE outbox WHERE (version > 1); ALTER PUBLICATION outbox SET TABLE outbox",
	} {
		before := fingerprint()
		for statement := range strings.SplitSeq(undone, ";") { // each a transaction
			s.exec(statement)
		}
		if after := fingerprint(); after == before {
			t.Errorf("%s: not seen", undone)
		}
	}
	if former[0] == former[2] || former[3] != former[len(former)-1] {
		t.Errorf("as the first relays made it: %v", former)
	}
}

func TestPublicationThatMayBeIncompleteIsRefused_I7(t *testing.T) {
	t.Parallel()
	for _, change := range []string{
		"DROP PUBLICATION outbox",
		"ALTER PUBLICATION outbox SET (publish = 'insert, delete')",
		"ALTER PUBLICATION outbox SET (publish = 'update')",
		"ALTER PUBLICATION outbox SET TABLE outbox WHERE (version > 1)",
		"ALTER PUBLICATION outbox SET TABLE orders",
		"ALTER PUBLICATION outbox ADD TABLE orders",
		"ALTER PUBLICATION outbox DROP TABLE outbox",
		"CREATE SCHEMA more; ALTER PUBLICATION outbox ADD TABLES IN SCHEMA more",
		"DROP PUBLICATION outbox; CREATE PUBLICATION outbox FOR ALL TABLES WITH (publish = 'insert')",
	} {
		t.Run(change, func(t *testing.T) {
			t.Parallel()
			s := setupWithoutSlot(t)
			s.exec(change)
			if got, _, err := Fingerprint(t.Context(), s.db, layout.Own()); !errors.Is(err, ErrPublication) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func TestSwitchPointIsReadFromTheHistory(t *testing.T) {
	t.Parallel()
	const history = "1\t0/3000148\tno recovery target specified\n\n# a comment\n" +
		"2\t16/B374D848\tbefore 2026-11-23 04:22:00+00\n12\t17/0\treason\n"
	for ancestor, want := range map[int32]outbox.LSN{1: 0x3000148, 2: 0x16_B374D848, 12: 0x17_00000000, 3: 0, 22: 0} {
		got, found, err := switchPoint(history, ancestor)
		if got != want || found != (want != 0) || err != nil {
			t.Errorf("timeline %d: got %s, %v, %v; want %s", ancestor, got, found, err, want)
		}
	}
	if _, found, err := switchPoint("1\tnowhere\treason\n", 1); found || err == nil {
		t.Errorf("damaged: found %v, %v", found, err)
	}
	if _, found, err := switchPoint("", 1); found || err != nil {
		t.Errorf("empty: found %v, %v", found, err)
	}
}

func TestSwitchPointOfAPromotedServer_I7(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	s := &source{t: t, url: cluster.Orders()}
	s.db = s.connect()
	identify := func() Identity {
		t.Helper()
		got, err := Identify(t.Context(), s.replication())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := identify()
	if before.SystemID == "" || before.Timeline != 1 || before.Flushed == 0 {
		t.Errorf("got %+v", before)
	}
	// Archive recovery without an archive: it goes to the end of the log there is, and on a new timeline from there.
	s.exec("ALTER SYSTEM SET restore_command = 'false'")
	var data string
	if err := s.db.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	s.exec("COPY (SELECT) TO '" + strings.ReplaceAll(data, "'", "''") + "/recovery.signal'")
	cluster.Stop(pgserver.Fast)
	cluster.Start()

	s.db = s.connect()
	wait(t, "the end of the recovery", func() (ended bool) {
		if err := s.db.QueryRow(t.Context(), "SELECT NOT pg_is_in_recovery()").Scan(&ended); err != nil {
			t.Fatal(err)
		}
		return ended
	})
	after := identify()
	if after.SystemID != before.SystemID || after.Timeline != 2 {
		t.Errorf("got %+v, was %+v", after, before)
	}
	at, found, err := SwitchPoint(t.Context(), s.replication(), 2, 1)
	if !found || err != nil || at < before.Flushed || at > after.Flushed {
		t.Errorf("got %s, %v, %v; want it between %s and %s", at, found, err, before.Flushed, after.Flushed)
	}
	for _, c := range []struct{ current, ancestor int32 }{{1, 2}, {2, 3}, {1, 1}} {
		if at, found, err := SwitchPoint(t.Context(), s.replication(), c.current, c.ancestor); found || err != nil {
			t.Errorf("timeline %d out of %d: got %s, %v, %v", c.current, c.ancestor, at, found, err)
		}
	}
}
