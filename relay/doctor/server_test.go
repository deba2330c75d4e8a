package doctor

import (
	"strconv"
	"testing"

	"github.com/adamkwhite/kafkafoodpipeline/internal/pgserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// own is a patient on a server of its own, which begins with Postgres's own settings.
func own(t *testing.T) *patient {
	t.Helper()
	cluster := testenv.BareCluster(t)
	p := setupOn(t, cluster.Orders(), testenv.Broker(t))
	p.cluster = cluster
	return p
}

// TestAServerAsItComesIsMendedByWhatIsPrinted begins with what initdb makes, and ends with nothing left to say.
func TestAServerAsItComesIsMendedByWhatIsPrinted(t *testing.T) {
	t.Parallel()
	p := own(t)
	r := Examine(t.Context(), p.config)
	for _, check := range []string{"wal_level", "max_slot_wal_keep_size"} {
		f, _ := r.Find(Postgres, check)
		if f.Verdict == OK {
			t.Errorf("got %+v at the beginning", f)
		}
	}
	if f, _ := r.Find(Postgres, "wal_sender_timeout"); f.Found != "5s for the relay's session, 1min for others" {
		t.Errorf("got %+v", f)
	}
	if r.ExitCode() != ExitUnusable {
		t.Errorf("got exit code %d, want %d", r.ExitCode(), ExitUnusable)
	}
	for _, f := range r.Findings {
		if f.Verdict != OK {
			p.mended(f)
		}
	}
	r = Examine(t.Context(), p.config)
	for _, f := range r.Findings {
		if f.Verdict != OK {
			t.Errorf("at the end: %+v", f)
		}
	}
	if r.ExitCode() != 0 {
		t.Errorf("at the end: got exit code %d", r.ExitCode())
	}
}

// TestSettingsOfTheServerAreFoundAndTheirRemedyMendsThem goes through them one by one, on one server.
func TestSettingsOfTheServerAreFoundAndTheirRemedyMendsThem(t *testing.T) {
	t.Parallel()
	p := own(t)
	p.sql("ALTER SYSTEM SET wal_level = 'logical'", "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'")
	p.restart()
	modern := scalar[int](p, "SELECT current_setting('server_version_num')::int") >= 180000
	for _, i := range []struct {
		ill

		restart, modern bool
	}{
		{
			ill{"", does("ALTER SYSTEM SET max_wal_senders = 0"), "max_wal_senders", Wrong, "0, all in use", 4, true},
			true, false,
		},
		{ill{
			"", does("ALTER SYSTEM SET idle_replication_slot_timeout = '1h'"), "idle_replication_slot_timeout",
			Warning, "1h", 0, true,
		}, false, true},
		{ill{
			"", does("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'"), "logical_decoding_work_mem", Warning,
			"64kB", 0, true,
		}, false, false},
		{ill{"", does("ALTER SYSTEM SET fsync = off"), "durability", Warning, "fsync is off", 0, true}, false, false},
		{ill{
			"", does("ALTER USER ROLE SET synchronous_commit = off"), "durability", Warning,
			"synchronous_commit is off", 0, true,
		}, false, false},
		{ill{
			"", does("ALTER SYSTEM SET max_slot_wal_keep_size = '512MB'"), "max_slot_wal_keep_size", Warning,
			"512MB, and the relay", 0, true,
		}, false, false},
	} {
		if i.modern && !modern {
			continue // the setting is not there
		}
		p.want(p.found(Postgres, i.check), OK, "", 0)
		i.harm(p)
		if i.restart {
			p.restart()
		} else {
			p.reload()
		}
		f := p.found(Postgres, i.check)
		p.want(f, i.verdict, i.words, i.code)
		p.mended(f)
	}
}

func TestWhereNoSlotIsFreeIsSaidBeforeOneIsWanted(t *testing.T) {
	t.Parallel()
	p := own(t)
	p.sql("ALTER SYSTEM SET wal_level = 'logical'", "ALTER SYSTEM SET max_replication_slots = 1")
	p.restart()
	p.want(p.found(Postgres, "max_replication_slots"), OK, "1, 0 in use", 0)
	p.sql("SELECT pg_create_physical_replication_slot('other')")
	f := p.found(Postgres, "max_replication_slots")
	p.want(f, Wrong, "1, all in use", 4)
	p.mended(f)
}

// TestRoomForAnHourIsMeasured writes log while it is asked how much may be kept.
func TestRoomForAnHourIsMeasured(t *testing.T) {
	t.Parallel()
	p := own(t)
	p.config.MaxRetainedWAL = 1 << 20
	p.sql("ALTER SYSTEM SET wal_level = 'logical'", "ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
	p.restart()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				p.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 100000))")
			}
		}
	}()
	f := p.found(Postgres, "max_slot_wal_keep_size")
	close(stop)
	<-stopped
	p.want(f, Warning, "the slot is lost after", 0)
	p.mended(f)
}

// TestALostSlotIsRefused lets the log outgrow what is kept for the slot.
func TestALostSlotIsRefused(t *testing.T) {
	t.Parallel()
	p := own(t)
	p.sql("ALTER SYSTEM SET wal_level = 'logical'", "ALTER SYSTEM SET max_slot_wal_keep_size = '20MB'",
		"ALTER SYSTEM SET max_wal_size = '32MB'")
	p.restart()
	does("SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')")(p)
	p.want(p.found(Postgres, "slot"), OK, "no relay holds it", 0)
	p.config.MaxRetainedWAL = 1 << 20
	p.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 3000000))")
	p.want(p.found(Postgres, "retained WAL"), Warning, "held back", 0)
	for range 3 {
		p.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000000))", "SELECT pg_switch_wal()",
			"CHECKPOINT")
	}
	f := p.found(Postgres, "slot")
	p.want(f, Wrong, "its log is gone", 3)
	if f.Remedy[0] != recoverSlot {
		t.Errorf("got %q", f.Remedy)
	}
}

// TestSettingsOfTheCommandLineAreSaidToBeThere: ALTER SYSTEM would change nothing.
func TestSettingsOfTheCommandLineAreSaidToBeThere(t *testing.T) {
	t.Parallel()
	s := &source{settings: map[string]setting{
		"wal_level":       {value: "replica", source: "command line"},
		"max_wal_senders": {value: strconv.Itoa(1)},
	}}
	if f := s.walLevel(t.Context()); len(f.Remedy) != 1 || f.Remedy[0] != "postgres -c wal_level=logical, where it is started: its command line overrules ALTER SYSTEM" {
		t.Errorf("got %+v", f)
	}
}

// TestStandbysAreAskedForAndNotRunOn has one that follows: it is no place for a relay, and should have what was published.
func TestStandbysAreAskedForAndNotRunOn(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t)
	p := setupOn(t, cluster.Orders(), testenv.Broker(t))
	if scalar[int](p, "SELECT current_setting('server_version_num')::int") < 170000 {
		t.Skip("standbys keep slots up from Postgres 17 on: set PG_VERSION")
	}
	p.want(p.found(Postgres, "standbys"), OK, "none", 0)
	cluster.Stop(pgserver.Fast)
	standby := cluster.Standby("orders")
	cluster.Start()
	p.sql("SELECT pg_create_physical_replication_slot('" + testenv.StandbySlot + "')")
	standby.Start()
	p.until("the standby to follow", func() bool {
		return scalar[bool](p,
			"SELECT bool_or(active) FROM pg_replication_slots")
	})
	f := p.found(Postgres, "standbys")
	p.want(f, Warning, "synchronized_standby_slots is empty", 0)
	p.mended(f)

	primary := p.config.DatabaseURL
	p.config.DatabaseURL = standby.URL("orders")
	p.want(p.found(Postgres, "connection"), Wrong, "the server is a standby", 4)
	p.config.DatabaseURL = primary
	standby.Stop(pgserver.Fast)
	p.until("the standby to be away", func() bool {
		return !scalar[bool](p,
			"SELECT bool_or(active) FROM pg_replication_slots")
	})
	f = p.found(Postgres, "standbys")
	p.want(f, Wrong, "nothing reaches the relay", 4)
	p.mended(f)
}
