package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// A connector that is taken over from has a slot, acknowledged somewhere, and has published up to some event: here, of six
// transactions of three events each, the first so many events in the order of commits.

const handedTransactions, handedEvents = 6, 3

func setupConnector(t *testing.T, published func(n int) bool) *anotherOutbox {
	t.Helper()
	f := setupAnother(t, nil)
	f.topics("order", "customer")
	f.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", f.name)
	n := 0
	for range handedTransactions {
		var values []string
		var records []*kgo.Record
		for range handedEvents {
			kind := []string{"order", "customer"}[n%2]
			id, payload := uuid.NewString(), fmt.Sprintf(`{"n": %d}`, n)
			values = append(values, "('"+id+"', '"+kind+"', 'k', 'x', '"+payload+"')")
			if published(n) {
				records = append(records, &kgo.Record{
					Topic: f.name + "." + kind, Key: []byte("k"), Value: []byte(payload), Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}},
				})
			}
			n++
		}
		f.exec("INSERT INTO outbox VALUES " + strings.Join(values, ", "))
		if err := f.kafka.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *anotherOutbox) adopt(dry bool, out io.Writer) error {
	return f.relay().session(f.t.Context(), func(ctx context.Context, s *session) error { return s.adopt(ctx, dry, out) })
}

// whole checks that each event is in its topic once, in order: n counts over both.
func (f *anotherOutbox) whole(events int) {
	f.t.Helper()
	var all []int
	for _, kind := range []string{"order", "customer"} {
		got := f.numbers(kind)["k"]
		if !slices.IsSorted(got) {
			f.t.Errorf("%s: %v is not in order", kind, got)
		}
		all = append(all, got...)
	}
	slices.Sort(all)
	if diff := cmp.Diff(all, count(events)); diff != "" {
		f.t.Errorf("events (-got +want):\n%s", diff)
	}
}

// TestConnectorIsTakenOverFromWithoutGapOrDuplicate_I3_I7, wherever it has stopped, in the middle of a transaction too.
func TestConnectorIsTakenOverFromWithoutGapOrDuplicate_I3_I7(t *testing.T) {
	t.Parallel()
	const all = handedTransactions * handedEvents
	for _, stopped := range []int{0, 1, 3, 4, 5, 6, 17, all} {
		f := setupConnector(t, func(n int) bool { return n < stopped })
		var said strings.Builder
		if err := f.adopt(true, &said); err != nil {
			t.Fatal(err)
		}
		if err := f.adopt(true, io.Discard); err != nil {
			t.Errorf("the dry run changed something: %v", err)
		}
		if err := f.adopt(false, &said); err != nil {
			t.Fatal(err)
		}
		if err := f.adopt(false, io.Discard); err == nil || !strings.Contains(err.Error(), "run relay run") {
			t.Errorf("a second time: %v", err)
		}
		f.run(all+1, func() { f.add("order", "k", all) })
		f.whole(all + 1)
		if t.Failed() {
			t.Fatalf("stopped after %d: %s", stopped, said.String())
		}
	}
}

func TestConnectorThatDiedInTheMiddleIsNotTakenOverFrom_I7(t *testing.T) {
	t.Parallel()
	f := setupConnector(t, func(n int) bool { return n < 8 && n != 6 })
	before, err := wal.Inspect(t.Context(), f.db, f.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.adopt(false, io.Discard); err == nil || !strings.Contains(err.Error(), "Start the connector again") {
		t.Errorf("got %v, want a refusal", err)
	}
	f.wait("the slot to be let go as it was", func() bool { // the server's process ends after its client
		slot, err := wal.Inspect(t.Context(), f.db, f.name)
		return err == nil && !slot.Active && slot.Confirmed == before.Confirmed
	})
}

func TestConnectorThatRunsIsNotTakenOverFrom_I6(t *testing.T) {
	t.Parallel()
	f := setupConnector(t, func(int) bool { return true })
	config, err := pgconn.ParseConfig(f.config.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := pglogrepl.StartReplication(t.Context(), conn, f.name, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names 'dbz_publication'"},
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.adopt(false, io.Discard); err == nil || !strings.Contains(err.Error(), "stop the connector") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestConnectorWithoutASlotIsNotTakenOverFrom(t *testing.T) {
	t.Parallel()
	f := setupAnother(t, nil)
	if err := f.adopt(false, io.Discard); err == nil || !strings.Contains(err.Error(), "there is no slot "+f.name) {
		t.Errorf("got %v", err)
	}
}
