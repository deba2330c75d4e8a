package app

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/doctor"
	"github.com/adamkwhite/kafkafoodpipeline/relay/registry"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

// schemaRegistry is one in this process, which compares and says yes.
func schemaRegistry(t *testing.T) *srfake.Registry {
	t.Helper()
	f := srfake.New(srfake.WithGlobalCompat(sr.CompatFullTransitive))
	t.Cleanup(f.Close)
	return f
}

// ids are the schemas' of the topic's values, by event; 0 for none.
func (s *system) schemaIDs(name string) map[string]int {
	s.t.Helper()
	partitions, _, err := tail.Open(s.t.Context(), s.kafka, name)
	if err != nil {
		s.t.Fatal(err)
	}
	ids := make(map[string]int)
	for _, p := range partitions {
		err := p.Scan(s.t.Context(), p.Start, func(r *kgo.Record) error {
			id, err := topic.ID(r)
			ids[id], _, _ = new(sr.ConfluentHeader).DecodeID(r.Value)
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return ids
}

// Exactly once also where one relay writes plain values and the next, or a recovery, does not.
func TestARegistryIsSwitchedOnAndOff_I4(t *testing.T) {
	t.Parallel()
	s := setup(t)
	f := schemaRegistry(t)
	registered := make(map[string]bool) // by event: whether a registry was there when it was published
	phase := func(url string) {
		t.Helper()
		s.config.Registry.URL = url
		s.write(10, 3)
		for _, id := range s.ids() {
			if _, before := registered[id]; !before {
				registered[id] = url != ""
			}
		}
		_, stop := s.start()
		s.published()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	phase(f.URL())
	phase("")
	s.config.Reason = "the topic is read again"
	if err := s.relay().recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	phase(f.URL())
	stored, _ := f.GetSchema(string(event.TypeOrderRejected), 1)
	ids := s.schemaIDs(s.config.Topic)
	for _, m := range s.published() {
		id := m.ID.String()
		if want := registered[id]; (ids[id] != 0) != want || want && ids[id] != stored.ID {
			t.Errorf("event %s has the schema %d, want one: %v", id, ids[id], want)
		}
		if data, err := m.Data(); err != nil || data.Type() != event.TypeOrderRejected {
			t.Errorf("event %s is read as %v, %v", id, data, err)
		}
	}
}

// What the registry refuses is found out before there is a slot, which would hold back the log.
func TestAnIncompatibleSchemaEndsTheRelayBeforeItTakesItsSlot(t *testing.T) {
	t.Parallel()
	s := setup(t)
	f := schemaRegistry(t)
	f.SeedSchema(string(event.TypeOrderRated), 1, 7, sr.Schema{Schema: `{"type":"string"}`, Type: sr.TypeJSON})
	f.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		refuses := strings.HasPrefix(r.URL.Path, "/compatibility/")
		if refuses {
			_, _ = w.Write([]byte(`{"is_compatible":false}`))
		}
		return refuses
	})
	s.config.Registry.URL = f.URL()
	s.write(1, 1)
	for name, do := range map[string]func() error{
		"run":     func() error { return <-s.ending() },
		"recover": func() error { return s.relay().recover(t.Context()) },
	} {
		err := do()
		var exit *ops.ExitError
		if !errors.Is(err, registry.ErrRefused) || !errors.As(exitCode(err), &exit) || exit.Code != exitUnusable {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if f := s.relay().knows(t.Context()); len(f) != 1 || f[0].Verdict != doctor.Wrong || f[0].ExitCode != exitUnusable {
		t.Errorf("doctor: %+v", f)
	}
	s.examined(&ops.ExitError{Code: exitUnusable})
	var slots int
	if err := s.db.QueryRow(t.Context(), "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", s.config.Slot).Scan(&slots); err != nil || slots != 0 {
		t.Errorf("%d slots, %v", slots, err)
	}
}

func TestARelayWaitsForItsRegistryOnlyUntilItHasAnswered(t *testing.T) {
	t.Parallel()
	s := setup(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.config.Registry.URL = "http://" + address
	r, stop := s.start()
	s.wait("the relay to say what it waits for", func() bool { return strings.Contains(s.logged.String(), "waiting for the schema registry") })
	if f := s.relay().knows(t.Context()); len(f) != 1 || f[0].Verdict != doctor.Unknown || f[0].ExitCode != 1 || len(f[0].Remedy) == 0 {
		t.Errorf("doctor: %+v", f)
	}
	if got := role(r); got != roleStarting {
		t.Errorf("it is %s", got)
	}

	f := srfake.NewRegistry(srfake.WithGlobalCompat(sr.CompatFullTransitive))
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f.Handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	s.write(2, 1)
	s.published()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	s.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", s.config.Slot)
	s.write(2, 1)
	s.published()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// Only a newer orderservice writes what this relay has no schema of, and readers are installed before it.
func TestATypeThatIsNewerThanTheRelayHaltsItWhereThereIsARegistry(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.config.Registry.URL = schemaRegistry(t).URL()
	events := s.events(uuid.New(), 1, 2)
	events[1].Type = "order.teleported.v1"
	s.tx(s.db, events[:1])
	s.tx(s.db, events[1:])
	err := <-s.ending()
	if !errors.Is(err, topic.ErrNoSchema) || !permanent(err) || !strings.Contains(err.Error(), events[1].ID.String()) {
		t.Errorf("got %v", err)
	}
	s.config.Registry.URL = ""
	_, stop := s.start()
	s.published()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A schema that is missing can be added, so its events are no dead letters: they wait, like those of a topic that is missing.
func TestAnotherOutboxsSchemasAreThoseOfItsDirectory(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=relay.dead.letter.topic": "NAME.dead"})
	f.topics("order", "dead")
	fake := schemaRegistry(t)
	f.config.Registry.URL, f.config.Registry.Dir = fake.URL(), t.TempDir()
	schema := func(kind string) {
		if err := os.WriteFile(filepath.Join(f.config.Registry.Dir, kind+".json"), []byte(`{"type":"object"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	schema("Placed")
	f.run(0)
	f.add("order", "a", 1) // of type Changed
	f.exec(`INSERT INTO outbox VALUES (gen_random_uuid(), 'order', 'a', 'Placed', NULL)`)
	err := <-f.ending()
	if !errors.Is(err, topic.ErrNoSchema) || !permanent(err) || !strings.Contains(err.Error(), "TYPE.json into the directory of --schemas") {
		t.Errorf("got %v", err)
	}
	f.free()
	schema("Changed")
	f.run(2)
	stored, _ := fake.GetSchema("Changed", 1)
	for _, r := range f.records("order") {
		if r.Value == nil { // a tombstone stays one
			continue
		}
		if id, payload, err := new(sr.ConfluentHeader).DecodeID(r.Value); err != nil || id != stored.ID || string(payload) != `{"n": 1}` {
			t.Errorf("got %d, %q, %v", id, payload, err)
		}
	}
	if dead := f.records("dead"); len(dead) != 0 {
		t.Errorf("%d dead letters", len(dead))
	}
}

func TestDoctorSaysWhatTheRegistryHasAndWhetherItCompares(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if f := s.relay().knows(t.Context()); f != nil {
		t.Errorf("without one: %+v", f)
	}
	compares, never := schemaRegistry(t), srfake.New(srfake.WithGlobalCompat(sr.CompatNone))
	t.Cleanup(never.Close)
	s.config.Registry.URL = compares.URL()
	if f := s.relay().knows(t.Context()); len(f) != 1 || f[0].Verdict != doctor.OK || !strings.Contains(f[0].Found, "has 0, and the next start registers ") {
		t.Errorf("got %+v", f)
	}
	compares.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		forbidden := strings.HasPrefix(r.URL.Path, "/config")
		if forbidden {
			w.WriteHeader(http.StatusForbidden)
		}
		return forbidden
	})
	if f := s.relay().knows(t.Context()); len(f) != 1 || f[0].Verdict != doctor.OK || !strings.Contains(f[0].Found, "could not be asked") {
		t.Errorf("a login that may not ask: %+v", f)
	}
	s.config.Registry.URL = never.URL()
	f := s.relay().knows(t.Context())
	if len(f) != 1 || f[0].Verdict != doctor.Warning || f[0].ExitCode != 0 || !strings.Contains(f[0].Remedy[0], "FULL_TRANSITIVE") {
		t.Errorf("got %+v", f)
	}
	s.examined(nil)
}

func TestARegistryOfJSONIsNotForBytes(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, map[string]string{"=value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter"})
	f.config.Registry = registry.Flags{URL: "http://127.0.0.1:1", Dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(f.config.Registry.Dir, "it.happened.json"), []byte(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newRelay(f.config, defaultLimits(), nil, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "leave one of the two out") {
		t.Errorf("got %v, want that they do not go together", err)
	}
}
