package app

import (
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// insert writes an order of one event.
func insert(t *testing.T, url, id string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // what was written is committed
	e, err := event.New(uuid.MustParse(id), 1, time.Now(), event.OrderRated{Stars: 5})
	if err != nil {
		t.Fatal(err)
	}
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO orders (id, customer_id, fulfilment, payment, version, total_minor, currency, state, placed_at, updated_at)
		VALUES ($1, 7, 'placed', 'none', 1, 100, 'EUR', '{}', now(), now())`, id)
	if _, err := outbox.Queue(b, []event.Event{e}); err != nil {
		t.Fatal(err)
	}
	if err := conn.SendBatch(t.Context(), b).Close(); err != nil {
		t.Fatal(err)
	}
}

// records are the first events of some orders, with a place in a log.
func records(t *testing.T, name string, orders ...string) (list []*kgo.Record) {
	t.Helper()
	for i, id := range orders {
		r, err := topic.Record(name, outbox.Row{
			Seq: []byte("1"), ID: []byte(uuid.NewString()), AggregateType: []byte("order"), AggregateID: []byte(id), Type: []byte("order.rated.v1"),
			Version: []byte("1"), Payload: []byte(`{"stars":5}`), OccurredAt: []byte("2026-11-23 04:22:00+00"),
		}, topic.Source{Name: "/orders", Commit: 0x1AB0, Committed: time.Now().Add(-time.Hour), Index: i})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func transact(t *testing.T, client *kgo.Client, how kgo.TransactionEndTry, list ...*kgo.Record) {
	t.Helper()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), list...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), how); err != nil {
		t.Fatal(err)
	}
}

// seen waits until so many records and markers can be read.
func seen(t *testing.T, brokers, name string, lines int) {
	t.Helper()
	args := []string{"tail", "--brokers", brokers, "--topic", name, "--from=start", "--markers", "--count=" + strconv.Itoa(lines)}
	if err := run(t.Context(), args, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
}

func TestTailShowsWhatAReaderGetsAndMarkersIfAsked(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	name := testenv.Topic(t, brokers, 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.TransactionalID(testenv.Name(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	a, b, aborted := uuid.NewString(), uuid.NewString(), uuid.NewString()
	transact(t, client, kgo.TryCommit, records(t, name, a, b)...)
	transact(t, client, kgo.TryAbort, records(t, name, aborted)...)
	transact(t, client, kgo.TryCommit, &kgo.Record{Topic: name, Key: []byte("k"), Value: []byte("what is this?")})
	transact(t, client, kgo.TryCommit, records(t, name, a)...)
	seen(t, brokers, name, 8)

	event := func(place, id string) string {
		return place + `  ` + id + `  v1  order\.rated\.v1  0/1AB0\[[01]\]`
	}
	commit, abort := `COMMIT of producer \d+, epoch \d+`, `ABORT of producer \d+, epoch \d+`
	foreign := `0@5  not an event: key "k", value what is this\?`
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{nil, []string{event("0@0", a), event("0@1", b), foreign, event("0@7", a)}},
		{[]string{"--order", a}, []string{event("0@0", a), event("0@7", a)}},
		{[]string{"--markers"}, []string{event("0@0", a), event("0@1", b), "0@2  " + commit, "0@4  " + abort, foreign, "0@6  " + commit, event("0@7", a), "0@8  " + commit}},
		{[]string{"--markers", "--order", a}, []string{event("0@0", a), "0@2  " + commit, event("0@7", a), "0@8  " + commit}},
		{[]string{"--order", b}, []string{event("0@1", b)}},
		{[]string{"--markers", "--count=3"}, []string{event("0@0", a), event("0@1", b), "0@2  " + commit}},
	} {
		var out strings.Builder
		args := append([]string{"tail", "--brokers", brokers, "--topic", name, "--from=start", "--once"}, tt.args...)
		if err := run(t.Context(), args, &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(regexp.MustCompile(` {2,}`).ReplaceAllString(out.String(), "  ")), "\n")
		if len(got) != len(tt.want) {
			t.Errorf("%v: %d lines, want %d:\n%s", tt.args, len(got), len(tt.want), out.String())
		}
		for i, want := range tt.want {
			if i >= len(got) || !regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}  `+want+`$`).MatchString(got[i]) {
				t.Errorf("%v: line %d, want %s in\n%s", tt.args, i+1, want, out.String())
			}
		}
	}
}

func TestTailFromTheEndShowsWhatComes(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	name := testenv.Topic(t, brokers, 3)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.TransactionalID(testenv.Name(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	before, after := uuid.NewString(), uuid.NewString()
	transact(t, client, kgo.TryCommit, records(t, name, before)...)
	seen(t, brokers, name, 2) // Kafka writes the marker behind its answer
	tail := startTail(t, "--brokers", brokers, "--topic", name, "--json")
	transact(t, client, kgo.TryCommit, records(t, name, after)...)
	if l := tail.until(func(recordLine) bool { return true }); l.Order.String() != after || l.Latency != 0 {
		t.Errorf("%+v, want order %s without a latency, as it was committed long ago", l, after)
	}
	if err := tail.stop(); err != nil {
		t.Error(err)
	}
}

func TestTailSaysWhatToGiveIt(t *testing.T) {
	t.Parallel()
	brokers := testenv.Broker(t)
	for want, args := range map[string][]string{
		"no order's id": {"--order", "7"},
		"UNKNOWN_TOPIC": {"--brokers", brokers, "--topic", testenv.Name(t)},
		"--kafka-user and --kafka-password-file go together": {"--kafka-user", "x"},
	} {
		err := run(t.Context(), append([]string{"tail"}, args...), io.Discard, io.Discard)
		if code := ops.Exit(err, io.Discard); code != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: exit code %d, %v; want 1 and %q", args, code, err, want)
		}
	}
}
