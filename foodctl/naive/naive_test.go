package naive

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is an outbox and a topic.
type world struct {
	t      *testing.T
	config Config
	db     *pgx.Conn
	client *kgo.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, config: Config{DatabaseURL: testenv.Orders(t), Brokers: testenv.Broker(t)}}
	w.config.Topic = testenv.Topic(t, w.config.Brokers, 3)
	var err error
	if w.db, err = connect(t.Context(), w.config.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close(context.Background()) }) //nolint:errcheck // the database goes, too
	if err := Prepare(t.Context(), w.db, w.db.Config().User); err != nil {
		t.Fatal(err)
	}
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(w.config.Brokers)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	return w
}

// insert writes an event in a transaction.
func (w *world) insert(tx pgx.Tx) event.Event {
	w.t.Helper()
	e := event.Event{
		ID: uuid.Must(uuid.NewV7()), Order: uuid.New(), Type: event.TypeOrderAccepted, Version: 1, Payload: []byte(`{"a" : 1}`),
		At: time.Now().UTC().Truncate(time.Microsecond), Headers: map[string]string{"actor": "kitchen"},
	}
	b := new(pgx.Batch)
	if _, err := outbox.Queue(b, []event.Event{e}); err != nil {
		w.t.Fatal(err)
	}
	if err := tx.SendBatch(w.t.Context(), b).Close(); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// inserted writes an event and commits it.
func (w *world) inserted() event.Event {
	w.t.Helper()
	tx, err := w.db.Begin(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	e := w.insert(tx)
	if err := tx.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) publish() int {
	w.t.Helper()
	n, err := publish(w.t.Context(), w.db, w.client, w.config.Topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// records reads the topic.
func (w *world) records() (found []topic.Message) {
	w.t.Helper()
	ends, err := kadm.NewClient(w.client).ListEndOffsets(w.t.Context(), w.config.Topic)
	if err != nil {
		w.t.Fatal(err)
	}
	var want int64
	ends.Each(func(end kadm.ListedOffset) { want += end.Offset })
	reader, err := kgo.NewClient(kgo.SeedBrokers(w.config.Brokers), kgo.ConsumeTopics(w.config.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer reader.Close()
	for int64(len(found)) < want {
		fetches := reader.PollFetches(w.t.Context())
		if err := fetches.Err(); err != nil {
			w.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			m, err := topic.Parse(r)
			if err != nil {
				w.t.Fatal(err)
			}
			found = append(found, m)
		})
	}
	return found
}

func TestItPublishesWhatIsNewAndThenNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := w.inserted()
	if n := w.publish(); n != 1 {
		t.Fatalf("published %d events, want 1", n)
	}
	if n := w.publish(); n != 0 {
		t.Errorf("published %d events more", n)
	}
	got := w.records()
	if len(got) != 1 || got[0].ID != want.ID || got[0].Order != want.Order || string(got[0].Payload) != string(want.Payload) ||
		!got[0].At.Equal(want.At) || got[0].Headers["actor"] != "kitchen" || got[0].Seq != 1 {
		t.Errorf("topic holds %+v, want %+v", got, want)
	}
}

// Killed when Kafka has acknowledged and the position is not stored, the next process finds the old position.
func TestItRepeatsWhatItHasNotNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.inserted()
	w.publish()
	if err := store(t.Context(), w.db, 0); err != nil {
		t.Fatal(err)
	}
	w.publish()
	if got := w.records(); len(got) != 2 || got[0].ID != got[1].ID {
		t.Errorf("topic holds %+v, want an event twice", got)
	}
}

func TestItPassesOverARowThatCommitsAfterAHigherNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := pgx.Connect(t.Context(), w.config.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context()) //nolint:errcheck // the database goes, too
	late, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := w.insert(late)
	w.inserted()
	w.publish()
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.publish(); n != 0 {
		t.Errorf("published %d events more", n)
	}
	if got := w.records(); len(got) != 1 || got[0].ID == lost.ID {
		t.Errorf("topic holds %+v, want one event and not %s", got, lost.ID)
	}
	if behind, err := Behind(t.Context(), w.config.DatabaseURL); err != nil || behind != 0 {
		t.Errorf("%d rows behind the position, %v: want 0", behind, err)
	}
}

func TestRunPublishesUntilItIsToldToStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.inserted()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, w.config) }()
	for timeout := time.After(time.Minute); len(w.records()) == 0; {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-timeout:
			t.Fatal("nothing is published within a minute")
		default:
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), Config{DatabaseURL: testenv.Empty(t), Brokers: w.config.Brokers}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("without its table: %v, want an error that says so", err)
	}
}
