package eventlog_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func TestExecuteReturnsWhatLoadFolds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := uuid.New()
	for _, cmd := range append([]order.Command{place}, life()...) {
		result, err := f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: cmd, Headers: map[string]string{"actor": "test"}})
		if err != nil {
			t.Fatal(err)
		}
		if result.ID != id || result.Replayed {
			t.Errorf("%s: result for %s, replayed %v", cmd.Name(), result.ID, result.Replayed)
		}
		if diff := cmp.Diff(result.Order, f.agree(id)); diff != "" {
			t.Errorf("%s (-result +loaded):\n%s", cmd.Name(), diff)
		}
		history, err := f.log.History(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range history[len(history)-len(result.Events):] {
			if diff := cmp.Diff(result.Events[i], e.Event); diff != "" {
				t.Errorf("%s (-result +history):\n%s", cmd.Name(), diff)
			}
		}
	}
}

func TestConcurrentAppendsToOneVersionHaveOneWinner_I2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	before := f.agree(id)
	at := before.UpdatedAt.Add(time.Second)
	tip := event.TipAdded{Amount: eur(100)}
	after := order.Apply(before, before.Version+1, at, tip)

	errs := make([]error, 8)
	var group sync.WaitGroup
	for i := range errs {
		e, err := event.New(id, after.Version, at, tip)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() { errs[i] = f.log.Append(t.Context(), after, before.Version, []event.Event{e}, nil) })
	}
	group.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("got %v, want a conflict", err)
		}
	}
	if o := f.agree(id); won != 1 || o.Tip.Minor != 100 {
		t.Errorf("%d writers won, the tip is %d", won, o.Tip.Minor)
	}
}

func TestConcurrentCommandsLoseNoUpdate_I2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	const writers, each = 6, 10
	var (
		group sync.WaitGroup
		mu    sync.Mutex // guards given
		given int64
	)
	for range writers {
		group.Go(func() {
			for range each {
				_, err := f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(1)}})
				if errors.Is(err, eventlog.ErrConflict) {
					continue // it was unlucky eight times, and said so
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				given++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if o := f.agree(id); o.Tip.Minor != given || given == 0 {
		t.Errorf("%d tips of 1 were given, and add up to %d", given, o.Tip.Minor)
	}
}

func TestAppendAheadOfTheOrderIsAConflict_I2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	before := f.agree(id)
	for name, id := range map[string]uuid.UUID{"ahead of it": id, "not there": uuid.New()} {
		after := before
		after.Version = 10
		e, err := event.New(id, after.Version, time.Now(), event.TipAdded{Amount: eur(0)})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.log.Append(t.Context(), after, 9, []event.Event{e}, nil); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("%s: got %v, want a conflict", name, err)
		}
	}
	if diff := cmp.Diff(before, f.agree(id)); diff != "" {
		t.Errorf("the order changed (-before +after):\n%s", diff)
	}
	if n := get[int64](f, `SELECT count(*) FROM outbox`); n != before.Version {
		t.Errorf("%d events, want %d", n, before.Version)
	}
}

func TestAppendRefusesVersionsWithAHole_I2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	at := time.Now()
	for name, versions := range map[string][]int64{"none": nil, "hole": {1, 3}, "repeated": {1, 1}, "late": {2}, "long": {1, 2, 3}} {
		var events []event.Event
		id := uuid.New()
		for _, v := range versions {
			e, err := event.New(id, v, at, event.OrderReady{})
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
		if err := f.log.Append(t.Context(), order.Order{Version: 2}, 0, events, nil); err == nil {
			t.Errorf("%s: versions %v were appended", name, versions)
		}
	}
}

// Each statement of the transaction fails once, and so does the commit itself, after every statement has succeeded.
func TestAppendThatFailsAnywhereLeavesNothing_I1(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]string{
		"key":        `CREATE TRIGGER refuse BEFORE INSERT ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION refuse()`,
		"state":      `CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION refuse()`,
		"events":     `CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()`,
		"last event": `CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.type LIKE 'payment.%') EXECUTE FUNCTION refuse()`,
		"commit": `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION refuse()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			id := uuid.New()
			f.do(id, append([]order.Command{place}, life()[:4]...)...)
			before := f.agree(id)
			f.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`)
			f.exec(trigger)
			for _, cmd := range []eventlog.Command{{Order: uuid.New(), Do: place}, {Order: id, Do: order.Collect{}}} {
				if _, placing := cmd.Do.(order.Place); placing && name == "last event" {
					continue // it makes one event, and no payment
				}
				cmd.Key = &eventlog.Key{Value: cmd.Do.Name()}
				_, err := f.log.Execute(t.Context(), cmd)
				if err == nil || !strings.Contains(err.Error(), "refused") || errors.Is(err, eventlog.ErrOutcomeUnknown) {
					t.Errorf("%s: got %v, want that it was refused", cmd.Do.Name(), err)
				}
			}
			if diff := cmp.Diff(before, f.agree(id)); diff != "" {
				t.Errorf("the order changed (-before +after):\n%s", diff)
			}
			orders, keys := get[int](f, `SELECT count(*) FROM orders`), get[int](f, `SELECT count(*) FROM idempotency_keys`)
			events := get[int64](f, `SELECT count(*) FROM outbox`)
			if orders != 1 || keys != 0 || events != before.Version {
				t.Errorf("left %d orders, %d keys, %d events; want 1, 0, %d", orders, keys, events, before.Version)
			}
		})
	}
}

func TestRefusedCommandsSayWhy(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	stale := int64(1)
	stranger := place
	stranger.CustomerID = 4711
	var rule *order.RuleError

	_, err := f.log.Execute(t.Context(), eventlog.Command{Order: uuid.New(), Do: order.Collect{}})
	if !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("unknown order: got %v", err)
	}
	_, err = f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: order.Collect{}})
	if !errors.As(err, &rule) || rule.Rule != order.RuleState {
		t.Errorf("collected twice: got %v", err)
	}
	_, err = f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: place})
	if !errors.As(err, &rule) || rule.Rule != order.RuleAlreadyPlaced {
		t.Errorf("placed twice: got %v", err)
	}
	_, err = f.log.Execute(t.Context(), eventlog.Command{Order: uuid.New(), Do: stranger})
	if !errors.As(err, &rule) || rule.Rule != order.RuleCustomer || rule.Field != "customer_id" {
		t.Errorf("unknown customer: got %v", err)
	}
	_, err = f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: order.Rate{Stars: 5}, Expected: &stale})
	if !errors.Is(err, eventlog.ErrNotExpected) || !strings.Contains(err.Error(), "version 7, not 1") {
		t.Errorf("stale version: got %v", err)
	}
	large := map[string]string{"actor": strings.Repeat("x", 20_000)}
	_, err = f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: order.Rate{Stars: 5}, Headers: large})
	if err == nil || !strings.Contains(err.Error(), "outbox_headers_size") {
		t.Errorf("large headers: got %v", err)
	}
	if _, err := f.log.Load(t.Context(), uuid.New()); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("load: got %v", err)
	}
	if o := f.agree(id); o.Version != 7 {
		t.Errorf("the order is at version %d, want 7", o.Version)
	}
}

// The clock of this machine may be behind that of the one which made the last event.
func TestTimeNeverGoesBackWithinAnOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	before := f.agree(id)
	at := before.UpdatedAt.Add(time.Hour)
	tip := event.TipAdded{Amount: eur(100)}
	e, err := event.New(id, before.Version+1, at, tip)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.log.Append(t.Context(), order.Apply(before, e.Version, at, tip), before.Version, []event.Event{e}, nil); err != nil {
		t.Fatal(err)
	}
	if o := f.do(id, order.Rate{Stars: 4}); !o.UpdatedAt.Equal(at.Add(time.Microsecond)) {
		t.Errorf("rated at %s after a tip at %s", o.UpdatedAt, at)
	}
}

func TestLoadRefusesAHistoryWithAHole_I2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	f.exec(`DELETE FROM outbox WHERE aggregateid = $1 AND version = 3`, id)
	if _, err := f.log.Load(t.Context(), id); err == nil || !strings.Contains(err.Error(), "version 4 where 3 must be") {
		t.Errorf("got %v", err)
	}
}

func TestStaleKnowledgeOfAnOrderHasNoEffect_I2(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := uuid.New()
	placed := f.do(id, place)
	f.do(id, life()...)
	tipped := f.do(id, order.AddTip{Amount: eur(100)})
	completed := tipped
	completed.Version, completed.Tip = tipped.Version-1, eur(0)
	for _, c := range []struct {
		cmd   order.Command
		known order.Order
	}{
		{order.AddTip{Amount: eur(10)}, completed}, // allowed then and now
		{order.Rate{Stars: 5}, placed},             // now
	} {
		if _, err := f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: c.cmd, Known: &c.known}); err != nil {
			t.Errorf("%s: %v", c.cmd.Name(), err)
		}
	}
	var rule *order.RuleError
	_, err := f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: order.AuthorizePayment{}, Known: &placed}) // then
	if !errors.As(err, &rule) {
		t.Errorf("got %v, want a rule", err)
	}
	if o := f.agree(id); o.Tip.Minor != 110 || o.Rating != 5 || o.Version != tipped.Version+2 {
		t.Errorf("tips of %d, %d stars, version %d", o.Tip.Minor, o.Rating, o.Version)
	}
}
