package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// harm is something that was done to the source or the topic while no relay ran, so that its history is no longer the
// checkpoint's.
type harm struct {
	name string
	do   func(*system)
	gate checkpoint.Gate
	// recovers says whether relay recover can mend it; else recover refuses, too.
	recovers bool
}

var harms = []harm{
	{"slot dropped", func(s *system) {
		s.exec("SELECT pg_drop_replication_slot($1)", s.config.Slot)
		s.write(2, 1)
	}, checkpoint.GateSlot, true},
	{"slot dropped and made anew", func(s *system) {
		s.exec("SELECT pg_drop_replication_slot($1)", s.config.Slot)
		s.write(2, 1) // nobody will send these
		s.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", s.config.Slot)
	}, checkpoint.GateAck, true},
	{"slot advanced by hand", func(s *system) {
		s.write(2, 1)
		s.exec("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", s.config.Slot)
	}, checkpoint.GateAck, true},
	{"checkpoint topic deleted", func(s *system) {
		s.admin(func(ctx context.Context, a *kadm.Client) error {
			_, err := a.DeleteTopics(ctx, checkpoint.Topic(s.config.Topic, s.config.Slot))
			return err
		})
	}, checkpoint.GateCheckpoint, true},
	{"topic made anew", (*system).topicAnew, checkpoint.GateTopic, true},
	{"partition added", func(s *system) {
		s.admin(func(ctx context.Context, a *kadm.Client) error {
			_, err := a.CreatePartitions(ctx, 1, s.config.Topic)
			return err
		})
	}, checkpoint.GateTopic, false},
	{"records deleted", func(s *system) {
		s.admin(func(ctx context.Context, a *kadm.Client) error {
			ends, err := a.ListEndOffsets(ctx, s.config.Topic)
			if err == nil {
				_, err = a.DeleteRecords(ctx, ends.Offsets())
			}
			return err
		})
	}, checkpoint.GateTail, false},
	{"record added by another", func(s *system) {
		r := &kgo.Record{
			Topic: s.config.Topic, Key: []byte("a"),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("01234567-0123-7123-8123-0123456789ab")}},
		}
		if err := s.kafka.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}, checkpoint.GateTail, false},
	{"record that no relay wrote", func(s *system) {
		if err := s.kafka.ProduceSync(s.t.Context(), &kgo.Record{Topic: s.config.Topic, Value: []byte("hello")}).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}, checkpoint.GateTail, false},
	{"publication made anew", func(s *system) {
		s.exec("DROP PUBLICATION outbox")
		s.write(2, 1) // published to nobody
		s.exec("CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert')")
	}, checkpoint.GatePublication, true},
	{"table taken out of the publication and put back", func(s *system) {
		s.exec("ALTER PUBLICATION outbox DROP TABLE outbox")
		s.write(2, 1) // published to nobody
		s.exec("ALTER PUBLICATION outbox ADD TABLE outbox")
	}, checkpoint.GatePublication, true},
	{"publication that published nothing for a while", func(s *system) {
		s.exec("ALTER PUBLICATION outbox SET (publish = '')")
		s.write(2, 1) // published to nobody
		s.exec("ALTER PUBLICATION outbox SET (publish = 'insert')")
	}, checkpoint.GatePublication, true},
	{"published event gone from the table", func(s *system) {
		s.exec("DELETE FROM outbox WHERE id::text = ANY ($1)", s.checkpoint().Last())
	}, checkpoint.GateCanary, false},
}

func TestAnotherHistoryIsRefusedAndMendedByRecover_I7(t *testing.T) {
	t.Parallel()
	for _, h := range harms {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			_, stop := s.start()
			s.published()
			s.write(20, 2)
			s.published()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			h.do(s)
			s.refused(s.relay().supervise(t.Context(), t.Context()), h.gate)

			s.config.Reason = "test: " + h.name
			err := s.relay().recover(t.Context())
			if !h.recovers {
				var refusal *checkpoint.Refusal
				if !errors.As(err, &refusal) {
					t.Errorf("recover: got %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatalf("recover: %v", err)
			}
			s.published()
			s.write(3, 1)
			s.start()
			s.published()
		})
	}
}

func TestPublicationThatMayMissEventsIsRefused_I7(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"filters rows":   "ALTER PUBLICATION outbox SET TABLE outbox WHERE (version > 1)",
		"updates too":    "ALTER PUBLICATION outbox SET (publish = 'insert, update')",
		"another table":  "ALTER PUBLICATION outbox ADD TABLE orders",
		"no table":       "ALTER PUBLICATION outbox DROP TABLE outbox",
		"no publication": "DROP PUBLICATION outbox",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.exec(change)
			if err := s.relay().supervise(t.Context(), t.Context()); !errors.Is(err, wal.ErrPublication) {
				t.Errorf("got %v, want %v", err, wal.ErrPublication)
			}
		})
	}
}

// Without a look at it meanwhile, a relay would go on over rows that it is not sent, until somebody starts it again.
func TestPublicationChangedUnderARunningRelayIsRefused_I7(t *testing.T) {
	t.Parallel()
	refused := func(err error) bool {
		var refusal *checkpoint.Refusal
		return errors.As(err, &refusal) && refusal.Gate == checkpoint.GatePublication
	}
	for name, change := range map[string]struct {
		statement string
		want      func(error) bool
	}{
		"made anew":        {"BEGIN; DROP PUBLICATION outbox; CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert'); COMMIT", refused},
		"changed and back": {"ALTER PUBLICATION outbox DROP TABLE outbox; ALTER PUBLICATION outbox ADD TABLE outbox", refused},
		"gone":             {"DROP PUBLICATION outbox", func(err error) bool { return errors.Is(err, wal.ErrPublication) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			ended := s.ending()
			s.write(1, 1)
			s.published()
			s.exec(change.statement)
			if err := <-ended; !change.want(err) {
				t.Errorf("the relay ended with %v", err)
			}
		})
	}
}

// Recovered from the table, the events that were not sent would stand behind those that were written after them.
func TestNothingIsPublishedBehindAHole_I3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := uuid.New()
	ended := s.ending()
	s.tx(s.db, s.events(order, 1, 1))
	s.published()
	s.exec("BEGIN") // or the relay may see that there is none, which is another refusal
	s.exec("DROP PUBLICATION outbox")
	s.tx(s.db, s.events(order, 2, 1))
	s.exec("CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert')")
	s.exec("COMMIT")
	s.tx(s.db, s.events(order, 3, 1))
	s.refused(<-ended, checkpoint.GatePublication)
	if n := len(s.messages()); n != 1 {
		t.Errorf("%d events are published, want 1", n)
	}
	s.config.Reason = "test"
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.published()
}

// The log is sent before its commit is seen, and a synchronous standby that does not answer keeps it so: to look at the publication
// then is not enough.
func TestNothingIsPublishedBehindAHoleThatIsNotSeenYet_I3(t *testing.T) {
	t.Parallel()
	s := setupOn(t, testenv.NewCluster(t).Orders(), testenv.Broker(t))
	order := uuid.New()
	ended := s.ending()
	s.tx(s.db, s.events(order, 1, 1))
	s.published()
	s.exec("SET synchronous_commit = local")
	s.exec("ALTER SYSTEM SET synchronous_standby_names = 'away'")
	s.exec("SELECT pg_reload_conf()")
	s.wait("the standby to be missed", func() bool {
		var missed bool
		return s.db.QueryRow(t.Context(), "SELECT current_setting('synchronous_standby_names') = 'away'").Scan(&missed) == nil && missed
	})
	changer := s.connect()
	if _, err := changer.Exec(t.Context(), "BEGIN; DROP PUBLICATION outbox"); err != nil {
		t.Fatal(err)
	}
	s.tx(changer, s.events(order, 2, 1))
	pid, changed := changer.PgConn().PID(), make(chan error, 1)
	go func() {
		_, err := changer.Exec(t.Context(), "CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert'); COMMIT")
		changed <- err
	}()
	s.wait("the commit to wait for the standby", func() bool {
		var waits bool
		return s.db.QueryRow(t.Context(), "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1", pid).Scan(&waits) == nil && waits
	})
	s.tx(s.db, s.events(order, 3, 1))
	s.wait("the relay to have looked at the locks, or to have gone on, or ended, as before Postgres 18", func() bool {
		var looked bool
		err := s.db.QueryRow(t.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%pg_locks%'").Scan(&looked)
		return err == nil && looked || len(s.messages()) > 1 || len(ended) > 0
	})
	if n := len(s.messages()); n != 1 {
		t.Errorf("%d events are published, want 1", n)
	}
	s.wait("the relay to say what it waits for, or to have ended, as before Postgres 18", func() bool {
		return len(ended) > 0 || strings.Contains(s.logged.String(), "publishing waits for a transaction that holds a publication's lock")
	})
	s.exec("SELECT pg_cancel_backend($1)", pid) // the wait; the transaction is committed
	if err := <-changed; err != nil {
		t.Error(err)
	}
	s.refused(<-ended, checkpoint.GatePublication)
	if n := len(s.messages()); n != 1 {
		t.Errorf("%d events are published, want 1", n)
	}
}

func TestOpenedGateIsPassedOnceAndRecorded_I7(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, stop := s.start()
	s.write(10, 1)
	s.published()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.exec("DROP PUBLICATION outbox")
	s.exec("CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert')")
	s.open, s.config.Reason = []checkpoint.Gate{checkpoint.GatePublication}, "nothing was written in between"
	r, stop := s.start()
	s.write(10, 1)
	s.published()
	if got := s.checkpoint().Overrides; !slices.Equal(got, []string{"publication: nothing was written in between"}) {
		t.Errorf("the checkpoint keeps %v", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.exec("DROP PUBLICATION outbox")
	s.exec("CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert')")
	s.refused(r.supervise(t.Context(), t.Context()), checkpoint.GatePublication) // the same relay: it was opened once
}

func TestRecoverRefusesWhileARelayRuns_I6(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.start()
	s.write(1, 1)
	s.published()
	s.config.Reason = "test"
	if err := s.relay().recover(t.Context()); err == nil {
		t.Error("recovered beside a running relay")
	}
	s.write(10, 1)
	s.published()
}

func (s *system) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Exec(s.t.Context(), statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func (s *system) admin(do func(context.Context, *kadm.Client) error) {
	s.t.Helper()
	if err := do(s.t.Context(), kadm.NewClient(s.kafka)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) refused(err error, gate checkpoint.Gate) {
	s.t.Helper()
	var refusal *checkpoint.Refusal
	if !errors.As(err, &refusal) || refusal.Gate != gate {
		s.t.Fatalf("got %v, want a refusal at gate %q", err, gate)
	}
}

// topicAnew deletes the topic and makes it again.
func (s *system) topicAnew() {
	s.t.Helper()
	s.admin(func(ctx context.Context, a *kadm.Client) error {
		if _, err := a.DeleteTopics(ctx, s.config.Topic); err != nil {
			return err
		}
		_, err := a.CreateTopic(ctx, topic.Partitions, 1, nil, s.config.Topic)
		return err
	})
	testenv.AwaitTopic(s.t, s.kafka, s.config.Topic)
}
