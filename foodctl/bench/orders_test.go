package bench

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/load"
)

// measure is pgbench. Where it is not there the test is skipped, and says how to have it.
func measure(t *testing.T) pgbench {
	t.Helper()
	p, err := findPgbench(t.Context(), packaged)
	if err != nil {
		t.Skip(err)
	}
	return p
}

func TestOrdersAreMeasuredBesidePgbenchAndChecked_I12(t *testing.T) {
	t.Parallel()
	measure(t)
	c := given(t)
	r, err := Orders{Config: c, Writers: []int{1, 3}, For: time.Second, Rounds: 1}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Void || !r.Check.Clean() || r.PayloadBytes < 100 || r.Pgbench == "" {
		t.Errorf("%+v", r)
	}
	var counted, foreign int64
	for _, l := range r.Levels {
		for name, p := range map[string]Placed{"pgbench": l.Pgbench, "event log": l.Log, "HTTP": l.HTTP} {
			if p.Orders == 0 || p.PerSecond != float64(p.Orders) || p.Seconds.P50 <= 0 || p.Seconds.P50 > p.Seconds.Max {
				t.Errorf("%d writers, %s: %+v", l.Writers, name, p)
			}
		}
		if l.Pgbench.CPU.Client == nil || l.Pgbench.CPU.Service != nil || (l.HTTP.CPU.Service == nil) != (runtime.GOOS != "linux") || l.Log.CPU.Postgres != nil {
			t.Errorf("%d writers: CPU of what is not involved, or may be anywhere: %+v", l.Writers, l)
		}
		if l.LogRatio <= 0 || l.HTTPRatio <= 0 || l.LogMet != (l.LogRatio >= LogTarget) || l.HTTPMet != (l.HTTPRatio >= HTTPTarget) {
			t.Errorf("%d writers: %+v", l.Writers, l)
		}
		counted, foreign = counted+l.Log.Orders+l.HTTP.Orders, foreign+l.Pgbench.Orders
	}
	// What was placed before the time began, or behind its end, is checked as well: a second beside a second.
	lead := counted / 10
	if counted += r.Half.Load.Done; r.Check.Answered <= counted+lead || r.Check.Foreign <= foreign+foreign/10 || r.Half.Load.Done == 0 || r.Half.P99 <= 0 {
		t.Errorf("%d and %d orders counted, check %+v, half load %+v", counted, foreign, r.Check, r.Half)
	}
	var text strings.Builder
	if err := r.Write(&text); err != nil || !strings.Contains(text.String(), "missing 0") {
		t.Errorf("%v: %s", err, text.String())
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if names := left(t, c); len(names) > 0 {
		t.Errorf("left: %q", names)
	}
}

// trialOf is a trial in which some orders were placed, and answered, by the event log.
func trialOf(t *testing.T) *ordersTrial {
	t.Helper()
	cfg := Orders{Config: given(t), Writers: []int{2}, For: time.Second, Rounds: 1}
	s, err := cfg.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trial := &ordersTrial{servers: s, cfg: cfg, answered: newAnswers()}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := trial.close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := trial.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	log, err := load.Log(t.Context(), trial.writerURL(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, r := range trial.requests[:10] {
		if a := trial.answered.of(log).Do(t.Context(), r); a.Outcome != load.Done {
			t.Fatalf("%+v", a)
		}
	}
	return trial
}

func TestTheCheckOfOrdersFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	trial := trialOf(t)
	const some = `(SELECT aggregateid FROM outbox ORDER BY seq LIMIT 1)`
	checked := func() OrdersCheck {
		t.Helper()
		c, err := trial.check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if diff := cmp.Diff(OrdersCheck{Answered: 11}, checked()); diff != "" { // one of them was overheard for the script
		t.Fatalf("before anything was planted (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		plant, undo string
		want        OrdersCheck
	}{
		{
			`CREATE TABLE kept AS SELECT * FROM outbox WHERE aggregateid = ` + some + `; DELETE FROM outbox WHERE aggregateid = ` + some,
			`INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM kept; DROP TABLE kept`,
			OrdersCheck{Missing: 1, Torn: 1},
		},
		{`UPDATE outbox SET version = 3 WHERE aggregateid = ` + some, `UPDATE outbox SET version = 1 WHERE version = 3`, OrdersCheck{Missing: 1, Holes: 1, Torn: 1}},
		{`UPDATE orders SET version = 2 WHERE id = ` + some, `UPDATE orders SET version = 1`, OrdersCheck{Torn: 1}},
		{
			`UPDATE outbox SET aggregateid = '00000000-0000-0000-0000-000000000001' WHERE aggregateid = ` + some,
			`UPDATE outbox SET aggregateid = (SELECT id FROM orders WHERE id NOT IN (SELECT aggregateid FROM outbox)) WHERE aggregateid = '00000000-0000-0000-0000-000000000001'`,
			OrdersCheck{Missing: 1, Extra: 1, Torn: 2},
		},
	} {
		if _, err := trial.db.PgConn().Exec(t.Context(), tt.plant).ReadAll(); err != nil {
			t.Fatalf("%s: %v", tt.plant, err)
		}
		tt.want.Answered = 11
		if got := checked(); got != tt.want || got.Clean() {
			t.Errorf("%s: got %+v, want %+v", tt.plant, got, tt.want)
		}
		if _, err := trial.db.PgConn().Exec(t.Context(), tt.undo).ReadAll(); err != nil {
			t.Fatalf("%s: %v", tt.undo, err)
		}
	}
	trial.answered.note(load.Answer{Outcome: load.Done, Order: uuid.New()})
	trial.foreign = 2
	if got := checked(); got.Missing != 3 {
		t.Errorf("an order answered and two of pgbench that are nowhere: got %+v", got)
	}
	for id := range trial.answered.ids {
		trial.answered.note(load.Answer{Outcome: load.Done, Order: id})
	}
	if got := checked(); got.Twice != 12 {
		t.Errorf("each order answered twice: got %+v", got)
	}
	trial.answered = newAnswers()
	trial.answered.lost = 10
	if trial.foreign = 0; checked().Extra != 1 {
		t.Errorf("eleven orders of which nobody was told, and ten answers that were lost: got %+v", checked())
	}
}

// The script has to be what the event log says, so it is held against that.
func TestPgbenchSaysWhatTheEventLogSays(t *testing.T) {
	t.Parallel()
	trial := trialOf(t)
	text, err := os.ReadFile(trial.script.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, want := range []string{`\startpipeline`, "INSERT INTO orders (", "INSERT INTO outbox (", ":customer", newID, "unnest(ARRAY[" + newID} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the script lacks %q:\n%s", want, text)
		}
	}
	if lines[len(lines)-1] != `\endpipeline` || strings.Count(string(text), newID) != 3 || strings.Count(string(text), ":customer") != 1 {
		t.Errorf("the script is\n%s", text)
	}
	trial.pgbench = measure(t)
	if _, err := trial.runPgbench(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	var orders, ours, theirs int64
	err = trial.db.QueryRow(t.Context(), `
SELECT count(*), avg(octet_length(payload::text)) FILTER (WHERE aggregateid > '01000000-0000-0000-0000-000000000000')::bigint,
       avg(octet_length(payload::text)) FILTER (WHERE aggregateid < '01000000-0000-0000-0000-000000000000')::bigint
FROM outbox JOIN orders o ON o.id = aggregateid AND o.version = outbox.version`).Scan(&orders, &ours, &theirs)
	if err != nil || orders != trial.foreign+11 || theirs != int64(trial.script.payload) || ours < theirs/2 || ours > 2*theirs {
		t.Errorf("%d orders with %d bytes by pgbench, 11 with %d by the event log; %d are there (%v)", trial.foreign, theirs, ours, orders, err)
	}
}

func TestPgbenchThatIsNotThereIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findPgbench(t.Context(), filepath.Join(t.TempDir(), "*"))
	if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("got %v", err)
	}
	if p, err := findPgbench(t.Context(), packaged); err == nil && (!filepath.IsAbs(p.path) || p.version == "") {
		t.Errorf("got %+v", p)
	}
}

func TestPgbenchIsCountedBehindTheLeadAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.1")
	text := "0 1 500000 0 1000 500000\n" + // began at 1000 s
		"0 2 400000 0 1000 999999\n" + // within the lead
		"1 1 300000 0 1001 0\n1 2 2000 0 1002 999999\n" +
		"0 3 1000 0 1003 0\n" // behind the end
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := readLogs(strings.TrimSuffix(path, ".1"))
	if err != nil || len(all) != 5 {
		t.Fatalf("%d transactions, %v", len(all), err)
	}
	want := sample{times: []time.Duration{300 * time.Millisecond, 2 * time.Millisecond}, over: 2 * time.Second, all: 5}
	if diff := cmp.Diff(want, window(all, 2*time.Second), cmp.AllowUnexported(sample{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the log is still there: %v", err)
	}
	if err := os.WriteFile(path, []byte("0 1 failed 0 1000 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLogs(strings.TrimSuffix(path, ".1")); err == nil {
		t.Error("a line that cannot be read is no error")
	}
}
