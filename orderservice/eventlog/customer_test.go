package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// erase erases a customer, which must succeed.
func (f fixture) erase(id int) eventlog.Erasure {
	f.Helper()
	done, err := f.log.Erase(f.Context(), id, map[string]string{event.HeaderActor: "test"})
	if err != nil {
		f.Fatal(err)
	}
	return done
}

// erasures is the number of events about customers.
func (f fixture) erasures() int {
	f.Helper()
	return get[int](f, `SELECT count(*) FROM outbox WHERE aggregatetype = 'customer'`)
}

func TestErasingDeletesThePersonAndTellsIt_I1(t *testing.T) {
	t.Parallel()
	f := setup(t)
	before, err := f.log.Customer(t.Context(), 17)
	if want := (eventlog.Customer{ID: 17, Name: "Quinn Basil", Email: "quinn.basil@example.com", Address: "15 Old Mill Road, 1011 Larkhaven"}); err != nil || before != want {
		t.Fatalf("before: got %#v, %v", before, err)
	}
	done := f.erase(17)
	if done.Before || done.Order != event.CustomerKey(17) || done.Version != 1 || string(done.Payload) != `{"customer_id":17}` {
		t.Errorf("got %+v", done)
	}
	if _, err := f.log.Customer(t.Context(), 17); !errors.Is(err, eventlog.ErrErased) {
		t.Errorf("after: got %v, want that the customer was erased", err)
	}
	if n := get[int](f, `SELECT count(*) FROM customer_details WHERE customer_id = 17`); n != 0 {
		t.Errorf("%d rows of details are left", n)
	}
	if n := get[int](f, `SELECT count(*) FROM customer_details`); n != 99 {
		t.Errorf("%d customers are left, want 99", n)
	}
	if !get[bool](f, `
		SELECT count(*) = 1 AND bool_and(c.erased_at = o.occurred_at AND o.type = 'customer.erased.v1' AND o.headers ->> 'actor' = 'test')
		FROM outbox AS o, customers AS c
		WHERE o.aggregatetype = 'customer' AND c.id = 17`) {
		t.Error("the outbox does not have the one event of the time at which the customer was erased")
	}
}

func TestErasingAgainDoesNothingAndSaysSo_I12(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first := f.erase(17)
	again := f.erase(17)
	first.Before = true
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("(-first +again):\n%s", diff)
	}
	if n := f.erasures(); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestWhoNeverWasCannotBeErased(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, id := range []int{101, 0, -1, 1 << 40} {
		if _, err := f.log.Customer(t.Context(), id); !errors.Is(err, eventlog.ErrNoCustomer) {
			t.Errorf("customer %d: got %v", id, err)
		}
		if _, err := f.log.Erase(t.Context(), id, nil); !errors.Is(err, eventlog.ErrNoCustomer) {
			t.Errorf("erase %d: got %v", id, err)
		}
	}
	if n := f.erasures(); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}

// The first has written everything and is not committed when the others arrive.
func TestErasuresAtOnceMakeOneEvent_I2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	gate := f.gate()
	const n = 4
	var (
		group sync.WaitGroup
		done  [n]eventlog.Erasure
		errs  [n]error
	)
	for i := range n {
		group.Go(func() { done[i], errs[i] = f.log.Erase(t.Context(), 17, nil) })
	}
	f.until(waiting, n)
	gate.open()
	group.Wait()
	first := 0
	for i := range n {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if !done[i].Before {
			first++
		}
		if done[i].ID != done[0].ID || !done[i].At.Equal(done[0].At) {
			t.Errorf("one was told of event %s at %s, another of %s at %s", done[i].ID, done[i].At, done[0].ID, done[0].At)
		}
	}
	if events := f.erasures(); first != 1 || events != 1 {
		t.Errorf("%d of %d did it, %d events; want 1 and 1", first, n, events)
	}
}

func TestAnErasureThatFailsAnywhereLeavesEverything_I1(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]string{
		"mark":    `CREATE TRIGGER refuse BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION refuse()`,
		"details": `CREATE TRIGGER refuse BEFORE DELETE ON customer_details FOR EACH ROW EXECUTE FUNCTION refuse()`,
		"event":   `CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()`,
		"commit": `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION refuse()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$`)
			f.exec(trigger)
			if _, err := f.log.Erase(t.Context(), 17, nil); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Fatalf("got %v", err)
			}
			if _, err := f.log.Customer(t.Context(), 17); err != nil {
				t.Errorf("the customer: %v", err)
			}
			if n := f.erasures(); n != 0 {
				t.Errorf("%d events", n)
			}
		})
	}
}

func TestLostConnectionIsSettledByErase_I12(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]pgproxy.Point{"request": loseRequest, "answer": loseAnswer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p, _ := behindProxy(t)
			f.erase(16) // so that every statement is prepared
			p.Hold(lost, after(0)).Cut()
			if done := f.erase(17); done.Before {
				t.Error("it was said to have been done before")
			}
			if n := f.erasures(); n != 2 {
				t.Errorf("%d events, want 2", n)
			}
		})
	}
}

func TestAnUnknownErasureIsSaidAndSettledByAnother_I12(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]pgproxy.Point{"committed": loseAnswer, "not committed": loseRequest} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p, _ := behindProxy(t)
			f.erase(16)
			p.Hold(lost, after(0)).Cut()
			p.Refuse(true)
			if _, err := f.log.Erase(t.Context(), 17, nil); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
				t.Fatalf("got %v, want that the outcome is unknown", err)
			}
			p.Refuse(false)
			if done, want := f.erase(17), lost == loseAnswer; done.Before != want {
				t.Errorf("done before: %v, want %v", done.Before, want)
			}
			if n := f.erasures(); n != 2 {
				t.Errorf("%d events, want 2", n)
			}
		})
	}
}

func TestWhoWasErasedOrdersNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := uuid.New()
	f.do(id, place) // of customer 7
	f.erase(7)
	var rule *order.RuleError
	if _, err := f.log.Execute(t.Context(), eventlog.Command{Order: uuid.New(), Do: place}); !errors.As(err, &rule) || rule.Rule != order.RuleCustomer {
		t.Errorf("got %v, want that there is no such customer", err)
	}
	f.do(id, life()...) // what was ordered before goes on its way
	f.agree(id)
}

// An order that has the customer's row comes before the erasure; one that meets an erasure which is not committed yet waits for it,
// and is refused.
func TestAnOrderAndAnErasureWaitForEachOther(t *testing.T) {
	t.Parallel()
	placing := func(f fixture) error {
		_, err := f.log.Execute(f.Context(), eventlog.Command{Order: uuid.New(), Do: place})
		return err
	}
	erasing := func(f fixture) error {
		_, err := f.log.Erase(f.Context(), place.CustomerID, nil)
		return err
	}
	for name, c := range map[string]struct {
		first, second func(fixture) error
		refused       bool
	}{
		"the order comes first":   {placing, erasing, false},
		"the erasure comes first": {erasing, placing, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			gate := f.gate()
			var (
				group         sync.WaitGroup
				first, second error
			)
			group.Go(func() { first = c.first(f) })
			f.until(waiting, 1)
			group.Go(func() { second = c.second(f) })
			f.until(waiting, 2)
			gate.open()
			group.Wait()
			var rule *order.RuleError
			if first != nil || (second != nil) != c.refused || c.refused && !errors.As(second, &rule) {
				t.Errorf("the first: %v, the second: %v; want the second refused: %v", first, second, c.refused)
			}
		})
	}
}

func TestAHungOrderEndsAnErasureInALockTimeout(t *testing.T) {
	t.Parallel()
	f := setup(t)
	config := f.admin.Config()
	config.ConnConfig.RuntimeParams["lock_timeout"] = "50ms"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	tx, err := f.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // it has written nothing
	if _, err := tx.Exec(t.Context(), "SELECT FROM customers WHERE id = 17 FOR SHARE"); err != nil {
		t.Fatal(err)
	}
	_, err = open(pool).Erase(t.Context(), 17, nil)
	if !errors.Is(err, eventlog.ErrCustomerLocked) || errors.Is(err, eventlog.ErrConflict) {
		t.Errorf("got %v, want that the customer is locked", err)
	}
}

func TestAPersonIsNeverPrinted(t *testing.T) {
	t.Parallel()
	c := eventlog.Customer{ID: 17, Name: "Quinn Basil", Email: "quinn@example.com", Address: "15 Old Mill Road"}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("got", "customer", c)
	slog.New(slog.NewTextHandler(&out, nil)).Info("got", "customer", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("got", "answer", struct{ Body []eventlog.Customer }{[]eventlog.Customer{c}})
	fmt.Fprintf(&out, "%v %+v %#v %s", c, c, c, c)
	if text := out.String(); strings.Contains(text, "Quinn") || strings.Contains(text, "Mill") || !strings.Contains(text, "customer 17") {
		t.Errorf("got %s", text)
	}
}

// The history of an order is asked for by an id that a client gives: a customer's key is no order's.
func TestACustomersKeyIsNoOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.erase(17)
	if o, err := f.log.Load(t.Context(), event.CustomerKey(17)); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("load: got %+v, %v", o, err)
	}
	cmd := eventlog.Command{Order: event.CustomerKey(17), Do: order.Collect{}}
	if _, err := f.log.Execute(t.Context(), cmd); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("execute: got %v", err)
	}
}

func TestAnErasureIsToldOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	told := eventlog.New(connect(t, testenv.Orders(t), 1), slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for range 2 {
		if _, err := told.Erase(context.Background(), 17, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "event accepted"); n != 1 {
		t.Errorf("told %d times:\n%s", n, out.String())
	}
}
