package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// given are the servers that the tests share, taken as if somebody had given them.
func given(t *testing.T) Config {
	t.Helper()
	return givenWith(t, testenv.Empty(t))
}

func givenWith(t *testing.T, databaseURL string) Config {
	t.Helper()
	return Config{
		DatabaseURL: databaseURL, Brokers: testenv.Broker(t), Relay: testenv.Build(t, "relay"), Projector: testenv.Build(t, "projector"),
		Service: testenv.Build(t, "orderservice"), Progress: func(text string) { t.Log(text) }, name: testenv.Name(t)[:30] + strings.ToLower(rand.Text()[:8]),
	}
}

// own are servers that the trial starts itself.
func own(t *testing.T) Config {
	t.Helper()
	if err := kafkaserver.Available(); err != nil && os.Getenv("BROKER") != "kafka" {
		t.Skip(err)
	}
	c := given(t)
	c.DatabaseURL, c.Brokers = "", ""
	return c
}

// left names what a trial has left on the given servers.
func left(t *testing.T, c Config) (names []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it has answered
	rows, _ := conn.Query(t.Context(), `
SELECT name
FROM (SELECT datname::text FROM pg_database
      UNION ALL SELECT rolname FROM pg_roles
      UNION ALL SELECT slot_name FROM pg_replication_slots) AS all_of(name)
WHERE starts_with(name, $1)`, c.name)
	if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	client, err := broker.Connect(t.Context(), c.Brokers)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	groups, err := kadm.NewClient(client).ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups.Groups() {
		if strings.Contains(group, c.name) {
			names = append(names, "group "+group)
		}
	}
	// A broker may list a topic for a moment after its deletion was answered.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		topics, err := kadm.NewClient(client).ListTopics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ours := slices.DeleteFunc(topics.Names(), func(name string) bool { return !strings.Contains(name, c.name) })
		if len(ours) == 0 || ops.Sleep(ctx, 50*time.Millisecond) != nil {
			return append(names, ours...)
		}
	}
}

// TestEachBenchMeasuresChecksAndLeavesNothing goes through small runs on given servers. One after the other: what each
// has left is counted.
func TestEachBenchMeasuresChecksAndLeavesNothing(t *testing.T) {
	t.Parallel()
	c := given(t)

	backlog, err := Backlog{Config: c, Rows: 2000, PerTransaction: []int{300, 1}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(backlog.Fillings, backlog.WarmUp) {
		if f.Void || f.Check.Events != f.Rows || f.PayloadBytes < 280*f.Rows || f.WALBytes < f.PayloadBytes {
			t.Errorf("%d a transaction: %d bytes of payload, %d of log, check %+v",
				f.RowsPerTransaction, f.PayloadBytes, f.WALBytes, f.Check)
		}
		if len(f.Readers) != len(naps) || len(f.Producers) != len(codecs) || f.Ratios.EagerReader <= 0 || f.Ratios.Both <= 0 {
			t.Errorf("%d a transaction: %d readers, %d producers, ratios %+v",
				f.RowsPerTransaction, len(f.Readers), len(f.Producers), f.Ratios)
		}
		if f.Relay.CPU.Walsender != nil || f.Relay.CPU.Broker != nil {
			t.Errorf("CPU time of servers that may be anywhere: %+v", f.Relay.CPU)
		}
		if *f.Relay.KafkaTransactions < 1 {
			t.Errorf("%d events in %d Kafka transactions", f.Rows, *f.Relay.KafkaTransactions)
		}
	}
	if len(backlog.Fillings) != 2 || backlog.Void {
		t.Errorf("%d fillings, void %v", len(backlog.Fillings), backlog.Void)
	}

	latency, err := Latency{Config: c, Rates: []float64{50, 300}, For: time.Second}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if latency.Void || latency.WarmUp.Check.Events < heat {
		t.Errorf("warm-up %+v, void %v", latency.WarmUp, latency.Void)
	}
	for _, l := range latency.Rates {
		counted := l.Events == int(l.Rate) && l.Check.Events == int64(3*l.Rate)
		if l.Void || !counted || l.Visible.P50 <= 0 || l.Visible.P50 > l.Visible.Max {
			t.Errorf("%g events/s: %+v", l.Rate, l)
		}
	}

	failover, err := Failover{Config: c, Faults: []Fault{Kill}, Rounds: 2, Rate: 100}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f := failover.Faults[0]; f.Void || f.Rounds != 2 || f.Check.Events < 1 || f.Delivered.Min <= 0 || f.Active.Min <= 0 {
		t.Errorf("%+v", f)
	}

	for _, report := range []any{backlog, latency, failover} {
		if _, err := json.Marshal(report); err != nil {
			t.Error(err)
		}
	}
	if names := left(t, c); len(names) > 0 {
		t.Errorf("left: %q", names)
	}
}

// TestABenchThatIsStoppedLeavesNothing stops it while a slot is being read, and while the relay runs.
func TestABenchThatIsStoppedLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"bare reader and bare producer at once", "relay"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			c := given(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Progress = func(text string) {
				if text == at {
					cancel()
				}
			}
			_, err := Backlog{Config: c, Rows: 20_000, PerTransaction: []int{1000}}.Run(ctx)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that it was stopped", err)
			}
			if names := left(t, c); len(names) > 0 {
				t.Errorf("left: %q", names)
			}
		})
	}
}

func TestOnServersOfItsOwnEveryFaultIsSurvivedAndCPUIsKnown(t *testing.T) {
	t.Parallel()
	c := own(t)
	t.Run("failover", func(t *testing.T) {
		t.Parallel()
		r, err := Failover{Config: c, Faults: Faults, Rounds: 2, Rate: 100}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Faults {
			if f.Void || f.Rounds != 2 || f.Delivered.Min <= 0 {
				t.Errorf("%s: %+v", f.Fault, f)
			}
			// A relay that says nothing keeps the slot until Postgres gives it up: had less been needed, no fault was
			// felt.
			if f.Fault != Kill && f.Active.Min < 2 {
				t.Errorf("%s: another relay was active after %.2f s", f.Fault, f.Active.Min)
			}
		}
	})
	t.Run("projector", func(t *testing.T) {
		t.Parallel()
		p := Projector{Config: c, Parts: []Part{Replays}, Open: 50, Events: 6000, Members: []int{1}}
		r, err := p.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, pass := range []Pass{r.Replay.Copy.Pass, r.Replay.Unnest.Pass, r.Replay.Replays[0].Pass} {
			used := pass.CPU
			if used.Own == nil || used.Postgres == nil || *used.Postgres <= 0 || used.Broker == nil {
				t.Errorf("%s: %+v", pass.Name, pass)
			}
		}
		if rss := r.Replay.Replays[0].PeakRSS; r.Void || rss == nil || *rss < 10e6 {
			t.Errorf("void %v, %+v", r.Void, r.Replay.Replays)
		}
	})
	t.Run("relay", func(t *testing.T) {
		t.Parallel()
		r, err := Backlog{Config: c, Rows: 5000, PerTransaction: []int{10}}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f := r.Fillings[0]
		used := f.Relay.CPU
		if f.Void || used.Own == nil || *used.Own <= 0 || used.Walsender == nil || used.Broker == nil || f.Relay.PeakRSS == nil {
			t.Errorf("%+v, check %+v", f.Relay, f.Check)
		}
	})
}

// TestTheAuditFindsWhatIsWrongOnTheServers writes rows, and publishes them wrongly.
func TestTheAuditFindsWhatIsWrongOnTheServers(t *testing.T) {
	t.Parallel()
	s, err := open(t.Context(), given(t), kafkaserver.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	from, err := s.ends(t.Context(), s.names.Topic)
	if err != nil {
		t.Fatal(err)
	}
	const n = 5 * perOrder
	if err := ours.fill(t.Context(), s.url(), n, 3); err != nil {
		t.Fatal(err)
	}
	list := rowsOf(t, s)
	list[11].Value = []byte(`{}`)           // altered
	list[20], list[21] = list[21], list[20] // out of order
	twice := *list[30]
	list = append(list[:n-1], &twice) // the last is missing
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers), kgo.DefaultProduceTopic(s.names.Topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), list...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	got, err := s.audit(t.Context(), ours, 0, from)
	if err != nil {
		t.Fatal(err)
	}
	if got.Events != n || got.Missing != 1 || got.Duplicates != 1 || got.OutOfOrder != 1 || got.Altered != 1 {
		t.Errorf("%+v: want one of each", got)
	}
}

// rowsOf are records of all rows, an order after the other.
func rowsOf(t *testing.T, s *servers) (list []*kgo.Record) {
	t.Helper()
	rows, _ := s.db.Query(t.Context(), `SELECT seq FROM outbox ORDER BY aggregateid, version`)
	seqs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	for i, seq := range seqs {
		r := published1(t, number(i), seq)
		r.Topic = s.names.Topic
		list = append(list, r)
	}
	return list
}

func TestWhatCannotBeMeasuredIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	c := Config{DatabaseURL: "postgres://x", Brokers: "127.0.0.1:1", Relay: "relay", Progress: func(string) {}}
	for want, run := range map[string]func() error{
		"--faults kill,pause": func() error {
			_, err := Failover{Config: c, Faults: Faults, Rounds: 1, Rate: 1}.Run(t.Context())
			return err
		},
		"a rate above 0": func() error {
			_, err := Failover{Config: c, Faults: Faults, Rounds: 1}.Run(t.Context())
			return err
		},
		"at least one rate": func() error {
			_, err := Latency{Config: c, For: time.Second}.Run(t.Context())
			return err
		},
		"at least one row": func() error {
			_, err := Backlog{Config: c, PerTransaction: []int{1}}.Run(t.Context())
			return err
		},
	} {
		if err := run(); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error %v: want it to say %q", err, want)
		}
	}
}
