package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), testenv.Orders(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestEntriesAreTheEventsThatWereQueuedInTheirOrder(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	order := uuid.New()
	var events []event.Event
	for v := range int64(20) {
		e, err := event.New(order, v+1, time.Now(), event.OrderRated{Stars: int(v), Comment: "żółć \u0001 \\ \" <&> 漢字 {}"})
		if err != nil {
			t.Fatal(err)
		}
		if v%2 == 0 {
			e.Headers = map[string]string{event.HeaderActor: `"quoted", {braces}, NULL`, event.HeaderTraceparent: ""}
		}
		events = append(events, e)
	}
	events[3].Payload = []byte("{ \"stars\" :1 ,\n\t\"stars\":2}") // kept as it was written: neither ordered nor cleaned

	var b pgx.Batch
	if _, err := outbox.Queue(&b, events); err != nil {
		t.Fatal(err)
	}
	if err := conn.SendBatch(t.Context(), &b).Close(); err != nil {
		t.Fatal(err)
	}

	rows, err := conn.Query(t.Context(), "SELECT "+outbox.Columns+" FROM outbox ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := pgx.CollectRows(rows, outbox.Scan)
	if err != nil {
		t.Fatal(err)
	}
	var got []event.Event
	for i, e := range entries {
		if i > 0 && e.Seq <= entries[i-1].Seq {
			t.Errorf("seq %d after %d", e.Seq, entries[i-1].Seq)
		}
		got = append(got, e.Event)
	}
	if diff := cmp.Diff(got, events); diff != "" {
		t.Errorf("-got +want:\n%s", diff)
	}
}

func TestRowTimeReadsWhatPostgresPrints(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for _, want := range []time.Time{
		time.Date(2026, 11, 23, 4, 22, 0, 0, time.UTC),
		time.Date(2026, 11, 23, 4, 22, 0, 500_000_000, time.UTC),
		time.Date(2000, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(2999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	} {
		var text string
		err := conn.QueryRow(t.Context(), "SELECT set_config('timezone', 'UTC', false), set_config('datestyle', 'ISO', false), $1::timestamptz::text", want).
			Scan(nil, nil, &text)
		if err != nil {
			t.Fatal(err)
		}
		// The settings hold from the next statement on.
		if err := conn.QueryRow(t.Context(), "SELECT $1::timestamptz::text", want).Scan(&text); err != nil {
			t.Fatal(err)
		}
		if got, err := (outbox.Row{OccurredAt: []byte(text)}).Time(); !got.Equal(want) || err != nil {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	if got, err := (outbox.Row{OccurredAt: []byte("23.11.2026 04:22:00")}).Time(); err == nil {
		t.Errorf("another style is %v", got)
	}
}
