package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/internal/child"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/projector/rebuild"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

// rebuilding runs projector rebuild as a process. The returned functions kill it, and wait for its end and return what it printed.
func (w *world) rebuilding(more ...string) (kill func() error, wait func() (string, error)) {
	w.Helper()
	args := append([]string{"rebuild", "--database-url", w.args[2], "--brokers", w.args[4], "--topic", w.args[6]}, more...)
	cmd := exec.CommandContext(w.Context(), testenv.Build(w, "projector"), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = process.Kill() })
	return process.Kill, func() (string, error) {
		err := process.Wait()
		return out.String(), err
	}
}

// appliedIn is how many events are applied in a schema's tables; -1 if there are none.
func (w *world) appliedIn(schema string) (n int64) {
	err := w.pool.QueryRow(w.Context(), `SELECT coalesce(sum(applied_events), 0)::bigint FROM `+schema+`.projection_offsets`).Scan(&n)
	if err != nil {
		return -1
	}
	return n
}

// former fails the test unless the former read model becomes what the events make.
func (w *world) former(events []viewtest.Event) {
	w.Helper()
	w.until("the former read model has all events", func() bool { return w.appliedIn(view.Former) >= int64(len(events)) })
	pool, err := view.ConnectTo(w.Context(), w.args[2], view.Former, 2, nil)
	if err != nil {
		w.Fatal(err)
	}
	defer pool.Close()
	viewtest.Equal(w, pool, events)
}

// A rebuild under traffic is killed again and again, goes on, and cuts over; the projectors go on in the new read model, and keep the
// former one; it is rolled back, and dropped. Whatever is looked at is what the events make.
func TestRebuildUnderTrafficWithKills_I8_I10(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(70, 60, 9000)
	w.start()
	w.start()
	w.send(events[:6000])()
	w.until("all are applied", func() bool { return w.applied() == 6000 })
	sent := w.send(events[6000:])
	for kills := 0; kills < 4; {
		kill, wait := w.rebuilding()
		before := w.appliedIn(view.Rebuild)
		w.until("the rebuild has gone on", func() bool {
			now := w.appliedIn(view.Rebuild)
			return now > before || now < 0 && kills > 0
		})
		if err := kill(); err != nil {
			t.Fatal(err)
		}
		out, err := wait()
		if err == nil { // it was done before it was killed
			t.Logf("done after %d kills:\n%s", kills, out)
			break
		}
		kills++
	}
	if w.appliedIn(view.Former) < 0 {
		_, wait := w.rebuilding()
		if out, err := wait(); err != nil || !strings.Contains(out, "they are equal") || !strings.Contains(out, "cut over at") {
			t.Fatalf("rebuild: %v\n%s", err, out)
		}
	}
	sent()
	w.arrived(events)
	w.former(events)
	if n := w.number(`SELECT count(*) FROM order_timeline WHERE data IS NULL OR position IS NULL`); n != 0 {
		t.Errorf("%d rows of the timeline have no data", n)
	}

	more := viewtest.History(71, 20, 2000)
	sent = w.send(more)
	out, err := w.command("rebuild", "roll-back")
	if err != nil || !strings.Contains(out, "Rolled back, at 0:") {
		t.Fatalf("roll back: %v\n%s", err, out)
	}
	sent()
	events = append(slices.Clone(events), more...)
	w.arrived(events)
	w.former(events)
	if out, err := w.command("rebuild", "drop-former"); err != nil {
		t.Fatalf("drop: %v\n%s", err, out)
	}
	if _, err := w.command("rebuild", "roll-back"); !errors.Is(err, rebuild.ErrNone) {
		t.Errorf("roll back to what was dropped: %v", err)
	}
	if n := w.number(`SELECT count(*) FROM cut_overs`); n != 2 {
		t.Errorf("%d cut-overs are kept, want 2", n)
	}
	last := viewtest.History(72, 20, 200)
	w.send(last)()
	w.arrived(append(events, last...))
}

// A live read model that is wrong is found out, and replaced only if that is asked for.
func TestRebuildFindsALiveReadModelThatIsWrong_I10(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(73, 20, 600)
	w.start()
	w.send(events)()
	w.arrived(events)
	if _, err := w.pool.Exec(t.Context(), `UPDATE revenue_minute_shard SET gross_minor = gross_minor + 1
		WHERE (minute, currency, part) = (SELECT minute, currency, part FROM revenue_minute_shard ORDER BY 1, 2, 3 LIMIT 1)`); err != nil {
		t.Fatal(err)
	}
	_, wait := w.rebuilding()
	out, err := wait()
	if err == nil || !strings.Contains(out, "revenue_minute_shard differs") || strings.Count(out, "only live: (") != 1 || strings.Count(out, "differs\n") != 1 {
		t.Fatalf("rebuild: %v\n%s", err, out)
	}
	if w.appliedIn(view.Former) >= 0 {
		t.Fatal("it was cut over")
	}
	_, wait = w.rebuilding("--accept")
	if out, err := wait(); err != nil || !strings.Contains(out, "going on with the rebuild") {
		t.Fatalf("rebuild --accept: %v\n%s", err, out)
	}
	w.arrived(events)
}

// A read model that was added has no row yet: a rebuild makes it with the others, and finds no fault in that.
func TestRebuildBringsAReadModelThatIsNew_I10(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if _, err := w.pool.Exec(t.Context(), `DELETE FROM read_models WHERE name = 'revenue_minute'`); err != nil {
		t.Fatal(err)
	}
	events := viewtest.History(78, 20, 400)
	w.start()
	w.send(events)()
	w.until("all are applied", func() bool { return w.applied() == 400 })
	if n := w.number(`SELECT count(*) FROM revenue_minute`); n != 0 {
		t.Fatalf("%d rows of a read model that is not held", n)
	}
	_, wait := w.rebuilding()
	if out, err := wait(); err != nil || !strings.Contains(out, "they are equal") {
		t.Fatalf("rebuild: %v\n%s", err, out)
	}
	more := viewtest.History(79, 20, 200)
	w.send(more)()
	w.arrived(append(slices.Clone(events), more...))
}

func TestRebuildThatIsDiscardedLeavesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(74, 20, 300)
	w.start()
	w.send(events)()
	w.arrived(events)
	if _, err := w.command("rebuild", "discard"); !errors.Is(err, rebuild.ErrNone) {
		t.Errorf("nothing to discard: %v", err)
	}
	if _, err := w.pool.Exec(t.Context(), `SELECT read_model_begin()`); err != nil { // as one that was killed right there
		t.Fatal(err)
	}
	_, wait := w.rebuilding()
	if out, err := wait(); err == nil || !strings.Contains(out, "projector rebuild discard") {
		t.Errorf("of other read models: %v\n%s", err, out)
	}
	if out, err := w.command("rebuild", "discard"); err != nil {
		t.Fatalf("discard: %v\n%s", err, out)
	}
	if n := w.number(`SELECT count(*) FROM pg_namespace WHERE nspname IN ('rebuild', 'former')`); n != 0 {
		t.Errorf("%d schemas are left", n)
	}
	_, wait = w.rebuilding()
	if out, err := wait(); err != nil {
		t.Fatalf("rebuild: %v\n%s", err, out)
	}
	w.arrived(events)
}

// A read model whose projector has stopped for good can be overtaken.
func TestRebuildOvertakesAReadModelThatHasStopped(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(75, 20, 400)
	w.send(events)()
	if _, err := w.pool.Exec(t.Context(), `INSERT INTO projection_offsets (topic, part, topic_id, claim, owner) VALUES ($1, 0, gen_random_uuid(), gen_random_uuid(), 'long gone')`, w.args[6]); err != nil {
		t.Fatal(err)
	}
	_, wait := w.rebuilding("--overtake")
	if out, err := wait(); err != nil {
		t.Fatalf("rebuild: %v\n%s", err, out)
	}
	w.arrived(events)
	w.start()
	more := viewtest.History(76, 20, 200)
	w.send(more)()
	w.arrived(append(slices.Clone(events), more...))
}

// Letters that were redriven or given up in the live read model are so in the new one.
func TestRebuildDoesWithLettersWhatWasDone_I9(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := viewtest.History(77, 6, 200)
	lost := slices.IndexFunc(events, func(e viewtest.Event) bool {
		return e.Version == 2 && slices.ContainsFunc(events, func(o viewtest.Event) bool { return o.Order == e.Order && o.Version == 4 })
	})
	w.start()
	w.send(slices.Delete(slices.Clone(events), lost, lost+1))()
	w.until("the hole is seen", func() bool { return w.number(`SELECT count(*) FROM dead_letters`) >= 2 })
	w.send(events[lost : lost+1])()
	w.until("it is filled", func() bool {
		return w.number(`SELECT count(*) FROM order_timeline WHERE order_id = $1`, events[lost].Order) == 2
	})
	if out, err := w.command("letters", "redrive", "--all"); err != nil {
		t.Fatalf("redrive: %v\n%s", err, out)
	}
	w.arrived(events)
	_, wait := w.rebuilding()
	if out, err := wait(); err != nil || !strings.Contains(out, "they are equal") {
		t.Fatalf("rebuild: %v\n%s", err, out)
	}
	w.arrived(events)
	if n := w.number(`SELECT count(*) FROM dead_letters WHERE state = 'waiting'`); n != 0 {
		t.Errorf("%d letters wait", n)
	}
}

// The topic has lost what it held at first, half of it in the middle of orders' lives. The outbox has all of it.
func TestRebuildTakesWhatTheTopicHasLostFromTheOutbox_I10(t *testing.T) {
	t.Parallel()
	w := setup(t)
	orders := testenv.Orders(t)
	events := viewtest.History(78, 30, 900)
	log := &eventLog{t, orders, testenv.Name(t)}
	log.begin()
	given, waiting := unacceptable(events[0]), unacceptable(events[0])
	all := slices.Concat(given, waiting, events) // the topic loses the letters too
	events = slices.Concat(given[:1], waiting[:1], events)
	log.write(all[:600])
	w.start()
	w.send(all[:600])()
	w.arrived(events[:598])
	if out, err := w.command("letters", "discard", given[1].Order.String(), "--reason", "nonsense"); err != nil {
		t.Fatalf("discard: %v\n%s", err, out)
	}
	ends, err := kadm.NewClient(w.Client).ListEndOffsets(t.Context(), w.args[6])
	if err != nil {
		t.Fatal(err)
	}
	upTo := make(kadm.Offsets)
	ends.Each(func(o kadm.ListedOffset) { upTo.AddOffset(o.Topic, o.Partition, o.Offset/2, -1) })
	if _, err := kadm.NewClient(w.Client).DeleteRecords(t.Context(), upTo); err != nil {
		t.Fatal(err)
	}
	_, wait := w.rebuilding()
	if out, err := wait(); err == nil || !strings.Contains(out, "--from-outbox") {
		t.Fatalf("rebuild of a topic that has lost events: %v\n%s", err, out)
	}
	if out, err := w.command("rebuild", "discard"); err != nil {
		t.Fatalf("discard: %v\n%s", err, out)
	}

	log.write(all[600:]) // committed, and not published yet
	_, wait = w.rebuilding("--from-outbox", "--orders-url", orders)
	w.until("the rebuild waits for the relay", func() bool { return log.read() })
	w.send(all[600:])()
	log.acknowledge()
	if out, err := wait(); err != nil || !strings.Contains(out, "they are equal") {
		t.Fatalf("rebuild: %v\n%s", err, out)
	}
	w.arrived(events)
	if n := w.number(`SELECT count(*) FROM order_timeline WHERE record_offset < 0`); n == 0 || n >= 600 {
		t.Errorf("%d events were loaded out of the outbox", n)
	}
	if out, err := w.command("letters", "list"); err != nil || !strings.Contains(out, waiting[1].Order.String()) || strings.Contains(out, given[1].Order.String()) {
		t.Errorf("letters: %v\n%s", err, out)
	}
	place := fmt.Sprintf("%d:%d", w.number(`SELECT part FROM dead_letters WHERE state = 'waiting'`), w.number(`SELECT record_offset FROM dead_letters WHERE state = 'waiting'`))
	if out, err := w.command("letters", "show", place); err != nil || !strings.Contains(out, waiting[1].Order.String()) {
		t.Errorf("letter at %s: %v\n%s", place, err, out)
	}
}

// unacceptable are two events of a new order: the first is another order's first, and the second no order can take.
func unacceptable(first viewtest.Event) []viewtest.Event {
	refund := event.RefundIssued{Amount: event.Money{Minor: 1, Currency: "XXX"}}
	placed, err := event.New(uuid.New(), 1, first.At, first.Data)
	if err != nil {
		panic(err)
	}
	second, err := event.New(placed.Order, 2, first.At, refund)
	if err != nil {
		panic(err)
	}
	return []viewtest.Event{{Event: placed, LeaderEpoch: -1, Data: first.Data}, {Event: second, LeaderEpoch: -1, Data: refund}}
}

// eventLog is an orders database, with a slot by which the test says what is published.
type eventLog struct {
	t         *testing.T
	url, slot string
}

func (l *eventLog) exec(query string, args ...any) {
	l.t.Helper()
	conn := l.connect()
	if _, err := conn.Exec(l.t.Context(), query, args...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *eventLog) connect() *pgx.Conn {
	l.t.Helper()
	conn, err := pgx.Connect(l.t.Context(), l.url)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (l *eventLog) begin() {
	l.t.Helper()
	l.exec(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, l.slot)
}

// acknowledge says that all is published.
func (l *eventLog) acknowledge() {
	l.t.Helper()
	l.exec(`SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`, l.slot)
}

func (l *eventLog) write(events []viewtest.Event) {
	l.t.Helper()
	var plain []event.Event
	for _, e := range events {
		plain = append(plain, e.Event)
	}
	b := &pgx.Batch{}
	if _, err := outbox.Queue(b, plain); err != nil {
		l.t.Fatal(err)
	}
	if err := l.connect().SendBatch(l.t.Context(), b).Close(); err != nil {
		l.t.Fatal(err)
	}
}

// read reports whether a rebuild has a snapshot.
func (l *eventLog) read() (there bool) {
	l.t.Helper()
	conn, err := pgx.Connect(l.t.Context(), l.url)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	const query = `SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'projector-rebuild' AND datname = current_database() AND query LIKE '%confirmed_flush_lsn%'`
	if err := conn.QueryRow(l.t.Context(), query).Scan(&there); err != nil {
		l.t.Fatal(err)
	}
	return there
}
