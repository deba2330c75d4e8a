package eventlog_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func TestCommandGivenAgainWithItsKeyIsReplayed_I12(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key := &eventlog.Key{Value: "place-1", RequestHash: [32]byte{1}}
	first, err := f.log.Execute(t.Context(), eventlog.Command{Order: uuid.New(), Do: place, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	f.do(first.ID, life()[:4]...) // it moves on
	// The server makes up another id for the order, as it does not know that there is one.
	again, err := f.log.Execute(t.Context(), eventlog.Command{Order: uuid.New(), Do: place, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	first.Replayed = true
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("place (-first +again):\n%s", diff)
	}

	key = &eventlog.Key{Value: "collect-1"}
	version := int64(5)
	collect := eventlog.Command{Order: first.ID, Do: order.Collect{}, Key: key, Expected: &version}
	if first, err = f.log.Execute(t.Context(), collect); err != nil {
		t.Fatal(err)
	}
	f.do(first.ID, order.Rate{Stars: 3})
	// By now the command would break a rule, and the expected version is stale.
	if again, err = f.log.Execute(t.Context(), collect); err != nil {
		t.Fatal(err)
	}
	first.Replayed = true
	if diff := cmp.Diff(first, again); diff != "" || len(again.Events) != 2 {
		t.Errorf("collect (-first +again):\n%s", diff)
	}
	if n := get[int](f, `SELECT count(*) FROM orders`); n != 1 {
		t.Errorf("%d orders were placed", n)
	}
	f.agree(first.ID)
}

func TestKeyOfAnotherRequestIsRefused_I12(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	cmd := eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(1)}, Key: &eventlog.Key{Value: "k", RequestHash: [32]byte{1}}}
	if _, err := f.log.Execute(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Key = &eventlog.Key{Value: "k", RequestHash: [32]byte{2}}
	cmd.Do = order.AddTip{Amount: eur(2)}
	if _, err := f.log.Execute(t.Context(), cmd); !errors.Is(err, eventlog.ErrKeyReused) {
		t.Errorf("got %v, want that the key is reused", err)
	}
	if o := f.agree(id); o.Tip.Minor != 1 {
		t.Errorf("the tip is %d, want 1", o.Tip.Minor)
	}
}

func TestRefusedCommandLeavesItsKeyFree_I12(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := uuid.New()
	f.do(id, place)
	cmd := eventlog.Command{Order: id, Do: order.StartPreparing{}, Key: &eventlog.Key{Value: "k"}}
	var rule *order.RuleError
	if _, err := f.log.Execute(t.Context(), cmd); !errors.As(err, &rule) {
		t.Fatalf("got %v, want a rule", err)
	}
	f.do(id, life()[:2]...)
	if result, err := f.log.Execute(t.Context(), cmd); err != nil || result.Replayed {
		t.Errorf("got %v, replayed %v; want it done now", err, result.Replayed)
	}
}

// The first has written everything and is not committed when the others arrive: they must wait for it, and then replay.
func TestCommandsAtOnceWithOneKeyHaveOneEffect_I12(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(f fixture) (next func() eventlog.Command){
		"place": func(fixture) func() eventlog.Command {
			return func() eventlog.Command { return eventlog.Command{Order: uuid.New(), Do: place} }
		},
		"tip": func(f fixture) func() eventlog.Command {
			id := f.completed()
			return func() eventlog.Command { return eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(1)}} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			next := prepare(f)
			events := get[int](f, `SELECT count(*) FROM outbox`)
			gate := f.gate()

			const n = 4
			var (
				group   sync.WaitGroup
				results [n]eventlog.Result
				errs    [n]error
			)
			for i := range n {
				cmd := next()
				cmd.Key = &eventlog.Key{Value: "k"}
				group.Go(func() { results[i], errs[i] = f.log.Execute(t.Context(), cmd) })
			}
			f.until(waiting, n)
			gate.open()
			group.Wait()

			done := 0
			for i := range n {
				if errs[i] != nil {
					t.Fatal(errs[i])
				}
				if !results[i].Replayed {
					done++
				}
				results[i].Replayed = false
				if diff := cmp.Diff(results[0], results[i]); diff != "" {
					t.Errorf("the results differ:\n%s", diff)
				}
			}
			if events = get[int](f, `SELECT count(*) FROM outbox`) - events; done != 1 || events != 1 {
				t.Errorf("%d of %d were done, %d events written; want 1 and 1", done, n, events)
			}
			f.agree(results[0].ID)
		})
	}
}

// The first commits while its twin reads: before the one or before the other of what that reads. Done again it would break a
// rule, so a twin that saw the first's events and not its key would be refused for what it has done itself.
func TestTheFirstMayCommitWhileItsTwinReads_I12(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"outbox", "idempotency_keys"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			id := uuid.New()
			f.do(id, place)
			pay := eventlog.Command{Order: id, Do: order.AuthorizePayment{}, Key: &eventlog.Key{Value: "pay"}}
			log := open(connect(t, f.admin.Config().ConnString(), 1)) // one connection, on which the statements are prepared by now
			first, err := log.Execute(t.Context(), pay)
			if err != nil {
				t.Fatal(err)
			}
			// What it has written is taken out, and put in again by a transaction that can be held.
			f.exec(`CREATE TABLE events AS SELECT * FROM outbox WHERE version > 1`)
			f.exec(`DELETE FROM outbox WHERE version > 1`)
			f.exec(`CREATE TABLE keys AS SELECT * FROM idempotency_keys`)
			f.exec(`DELETE FROM idempotency_keys`)
			tx, err := f.admin.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background()) //nolint:errcheck // it is committed
			for _, statement := range []string{
				`LOCK TABLE ` + table + ` IN ACCESS EXCLUSIVE MODE`,
				`INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM events`,
				`INSERT INTO idempotency_keys SELECT * FROM keys`,
			} {
				if _, err := tx.Exec(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			var (
				group sync.WaitGroup
				twin  eventlog.Result
			)
			group.Go(func() { twin, err = log.Execute(t.Context(), pay) })
			f.until(waiting, 1)
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			group.Wait()
			if err != nil {
				t.Fatalf("the twin was refused: %v", err)
			}
			first.Replayed = true
			if diff := cmp.Diff(first, twin); diff != "" {
				t.Errorf("(-first +twin):\n%s", diff)
			}
		})
	}
}

func TestHungWriterEndsInALockTimeout(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	gate := f.gate()
	var group sync.WaitGroup
	tip := eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(1)}, Key: &eventlog.Key{Value: "k"}}
	group.Go(func() {
		if _, err := f.log.Execute(t.Context(), tip); err != nil {
			t.Error(err)
		}
	})
	f.until(waiting, 1)

	config := f.admin.Config()
	config.ConnConfig.RuntimeParams["lock_timeout"] = "50ms"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := open(pool).Execute(t.Context(), tip); !errors.Is(err, eventlog.ErrKeyInUse) {
		t.Errorf("same key: got %v, want that it is in use", err)
	}
	tip.Key = nil
	if _, err := open(pool).Execute(t.Context(), tip); !errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("same order: got %v, want a conflict", err)
	}
	gate.open()
	group.Wait()
	if o := f.agree(id); o.Tip.Minor != 1 {
		t.Errorf("the tip is %d, want 1", o.Tip.Minor)
	}
}

// waiting tells whether so many sessions of this database wait for a lock.
const waiting = `
SELECT count(*) = $1
FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'`

// gate is a place after all statements of a transaction where writers have to wait.
type gate struct {
	f       fixture
	session *pgxpool.Conn
}

// gate closes the gate. It is open at the latest when the test ends.
func (f fixture) gate() *gate {
	f.Helper()
	f.exec(`
		CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql
		AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$`)
	f.exec(`CREATE TRIGGER gate AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION gate()`)
	session, err := connect(f.T, f.admin.Config().ConnString(), 1).Acquire(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := session.Exec(f.Context(), `SELECT pg_advisory_lock(1)`); err != nil {
		f.Fatal(err)
	}
	g := &gate{f, session}
	f.Cleanup(g.open)
	return g
}

func (g *gate) open() {
	if g.session == nil {
		return
	}
	if _, err := g.session.Exec(context.Background(), `SELECT pg_advisory_unlock(1)`); err != nil {
		g.f.Error(err)
	}
	g.session.Release()
	g.session = nil
}
