package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// system is a database, a topic and a slot for one test.
type system struct {
	t      *testing.T
	config config
	limits limits
	open   []checkpoint.Gate
	db     *pgx.Conn
	kafka  *kgo.Client
	logged *testenv.Output // by its relays
}

func setup(t *testing.T) *system {
	t.Helper()
	return setupOn(t, testenv.Orders(t), testenv.Broker(t))
}

func setupOn(t *testing.T, url, brokers string) *system {
	t.Helper()
	s := &system{t: t, limits: defaultLimits(), logged: new(testenv.Output), config: config{
		DatabaseURL: url, Brokers: strings.Split(brokers, ","),
		Topic: testenv.Topic(t, brokers, topic.Partitions), Slot: testenv.Name(t), Source: "/orders", MaxRetainedWAL: 1 << 30,
	}}
	s.db = s.connect()
	client, err := publish.Connect(s.config.Brokers, s.config.Security, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	s.kafka = client
	return s
}

func (s *system) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.config.DatabaseURL)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// relay is one in this process, which logs to the test.
func (s *system) relay() *relay {
	s.t.Helper()
	r, err := newRelay(s.config, s.limits, s.open, slog.New(slog.NewTextHandler(io.MultiWriter(s.t.Output(), s.logged), &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// start runs a relay until stop is called. stop returns its error.
func (s *system) start() (r *relay, stop func() error) {
	s.t.Helper()
	r = s.relay()
	intake, cancel := context.WithCancel(s.t.Context())
	done, finished := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(finished)
		done <- r.supervise(context.WithoutCancel(intake), intake)
	}()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		before := s.holder()
		cancel()
		err := <-done
		s.wait("the slot to be let go of", func() bool { // a standby may take it at once
			now := s.holder()
			return now == 0 || now > 0 && now != before
		})
		return err
	}
	s.t.Cleanup(func() { cancel(); <-finished })
	return r, stop
}

// ending runs a relay until it ends by itself, and returns its error.
func (s *system) ending() <-chan error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), 2*time.Minute)
	r, ended, finished := s.relay(), make(chan error, 1), make(chan struct{})
	go func() {
		defer close(finished)
		ended <- r.supervise(ctx, ctx)
	}()
	s.t.Cleanup(func() { cancel(); <-finished })
	return ended
}

// holder is the server process of the relay that has the slot; 0 if none has, -1 if that cannot be said.
func (s *system) holder() (pid int) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	err := s.db.QueryRow(ctx, "SELECT coalesce(max(active_pid), 0) FROM pg_replication_slots WHERE slot_name = $1", s.config.Slot).Scan(&pid)
	if err != nil {
		return -1
	}
	return pid
}

// write commits transactions of so many events each, of an order of its own.
func (s *system) write(transactions, events int) {
	s.t.Helper()
	for range transactions {
		s.tx(s.db, s.events(uuid.New(), 1, events))
	}
}

func (s *system) events(order uuid.UUID, version, n int) []event.Event {
	s.t.Helper()
	var events []event.Event
	for i := range n {
		e, err := event.New(order, int64(version+i), time.Now(), event.OrderRejected{Reason: fmt.Sprintf("no. %d", i)})
		if err != nil {
			s.t.Fatal(err)
		}
		e.Headers = map[string]string{event.HeaderActor: "test"}
		events = append(events, e)
	}
	return events
}

type querier interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func (s *system) tx(conn querier, events []event.Event) {
	s.t.Helper()
	var b pgx.Batch
	if _, err := outbox.Queue(&b, events); err != nil {
		s.t.Fatal(err)
	}
	if err := conn.SendBatch(s.t.Context(), &b).Close(); err != nil {
		s.t.Fatal(err)
	}
}

// ids are the events of the outbox table.
func (s *system) ids() []string {
	s.t.Helper()
	rows, err := s.db.Query(s.t.Context(), "SELECT id::text FROM outbox ORDER BY id")
	if err != nil {
		s.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// messages are the committed events of the topic.
func (s *system) messages() []topic.Message {
	s.t.Helper()
	// A client of its own: one that has looked at the topic a moment ago takes a topic that was made anew for the old one.
	fresh, err := publish.Connect(s.config.Brokers, s.config.Security, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	defer fresh.Close()
	partitions, _, err := tail.Open(s.t.Context(), fresh, s.config.Topic)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []topic.Message
	for _, p := range partitions {
		err := p.Scan(s.t.Context(), p.Start, func(r *kgo.Record) error {
			m, err := topic.Parse(r)
			all = append(all, m)
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

func (s *system) checkpoint() checkpoint.Record {
	s.t.Helper()
	cp, found, err := checkpoint.Read(s.t.Context(), s.kafka, checkpoint.Topic(s.config.Topic, s.config.Slot))
	if err != nil || !found {
		s.t.Fatalf("checkpoint: found %v, %v", found, err)
	}
	return cp
}

// wait polls until ok, which it asks again as soon as it has answered: the state is in another system, which tells
// nobody when it changes.
func (s *system) wait(what string, ok func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeoutCause(s.t.Context(), 2*time.Minute, errors.New("timed out"))
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.t.Fatalf("waiting for %s: %v", what, context.Cause(ctx))
		}
	}
}

// published waits until every event of the table is in the checkpoint's count, then holds the topic against the table:
// each event once, each order's in the order of its versions.
func (s *system) published() []topic.Message {
	s.t.Helper()
	want := s.ids()
	s.wait("the topic to hold the outbox", func() bool {
		cp, found, err := checkpoint.Read(s.t.Context(), s.kafka, checkpoint.Topic(s.config.Topic, s.config.Slot))
		return err == nil && found && cp.Phase == checkpoint.Streaming && cp.Events >= int64(len(want))
	})
	messages := s.messages()
	var got []string
	versions := make(map[uuid.UUID]int64)
	for _, m := range messages {
		got = append(got, m.ID.String())
		if m.Version != versions[m.Order]+1 {
			s.t.Errorf("order %s: version %d after %d", m.Order, m.Version, versions[m.Order])
		}
		versions[m.Order] = m.Version
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.t.Fatalf("the topic has %d events, %d of them different, the outbox %d", len(got), len(slices.Compact(slices.Clone(got))), len(want))
	}
	return messages
}

// role is the one that the relay's metrics name.
func role(r *relay) string {
	for _, name := range []string{roleStarting, roleStandby, rolePaused, roleActive} {
		if testutil.ToFloat64(r.metrics.role.WithLabelValues(name)) == 1 {
			return name
		}
	}
	return ""
}
