package eventlog_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv/pgproxy"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// behindProxy is a fixture whose log has one connection, through a proxy, on which every statement is prepared.
func behindProxy(t *testing.T) (fixture, *pgproxy.Proxy, uuid.UUID) {
	t.Helper()
	direct := testenv.Orders(t)
	p, url := pgproxy.Start(t, direct)
	f := fixture{T: t, log: open(connect(t, url, 1)), admin: connect(t, direct, 8)}
	id := f.completed()
	tip := eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(1)}, Key: &eventlog.Key{Value: "first"}}
	if _, err := f.log.Execute(t.Context(), tip); err != nil {
		t.Fatal(err)
	}
	return f, p, id
}

// after accepts the request that comes after so many others.
func after(others int) func(*pgproxy.Exchange) bool {
	return func(*pgproxy.Exchange) bool {
		others--
		return others < 0
	}
}

const (
	loseRequest = pgproxy.Request // it never arrives
	loseAnswer  = pgproxy.Answer  // it is carried out, and the answer is lost
)

func TestExecuteTakesAsFewRoundTripsAsItCan(t *testing.T) {
	t.Parallel()
	f, p, id := behindProxy(t)
	other := f.completed()
	known, err := f.log.Load(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cmd  eventlog.Command
		want int64
	}{
		"place, nothing to read": {eventlog.Command{Order: uuid.New(), Do: place, Key: &eventlog.Key{Value: "a"}}, 1},
		"known, append":          {eventlog.Command{Order: other, Do: order.Rate{Stars: 5}, Known: &known}, 1},
		"read, append":           {eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(1)}, Key: &eventlog.Key{Value: "b"}}, 2},
	} {
		before := p.Requests()
		if _, err := f.log.Execute(t.Context(), c.cmd); err != nil {
			t.Fatal(err)
		}
		if got := p.Requests() - before; got != c.want {
			t.Errorf("%s: %d round trips, want %d", name, got, c.want)
		}
	}
}

// Whatever becomes of the connection while a command is being committed, the command has one effect, with a key and
// without.
func TestLostConnectionIsSettledByExecute_I12(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost    pgproxy.Point
		key     *eventlog.Key
		placing bool
	}{
		"tip, request lost":             {loseRequest, nil, false},
		"tip, answer lost":              {loseAnswer, nil, false},
		"tip with key, request lost":    {loseRequest, &eventlog.Key{Value: "k"}, false},
		"tip with key, answer lost":     {loseAnswer, &eventlog.Key{Value: "k"}, false},
		"placing, request lost":         {loseRequest, nil, true},
		"placing, answer lost":          {loseAnswer, nil, true},
		"placing with key, answer lost": {loseAnswer, &eventlog.Key{Value: "k"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p, id := behindProxy(t)
			cmd := eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(10)}, Key: c.key}
			skip := 1 // the first request reads
			if c.placing {
				cmd.Order, cmd.Do, skip = uuid.New(), place, 0
			}
			before := get[int](f, `SELECT count(*) FROM outbox`)
			lost := p.Hold(c.lost, after(skip))
			lost.Cut()
			result, err := f.log.Execute(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-lost.Reached():
			default:
				t.Error("nothing was lost")
			}
			if result.Replayed || result.ID != cmd.Order {
				t.Errorf("replayed %v, order %s; want false, %s", result.Replayed, result.ID, cmd.Order)
			}
			if n := get[int](f, `SELECT count(*) FROM outbox`) - before; n != 1 {
				t.Errorf("%d events, want 1", n)
			}
			if o := f.agree(cmd.Order); o.Version != result.Order.Version {
				t.Errorf("version %d, the result says %d", o.Version, result.Order.Version)
			}
		})
	}
}

// The first attempt is still on its way when the second commits: it must not commit as well.
func TestDelayedAttemptComesTooLate_I2(t *testing.T) {
	t.Parallel()
	f, p, id := behindProxy(t)
	delayed := p.Hold(pgproxy.Request, after(1))
	delayed.CutClient()
	f.do(id, order.AddTip{Amount: eur(10)})
	delayed.Release()
	<-delayed.Done()
	if o := f.agree(id); o.Tip.Minor != 11 {
		t.Errorf("the tips are %d, want 11", o.Tip.Minor)
	}
}

// The server dies between commit and answer and the database is out of its reach. The caller gives the command again.
func TestUnknownOutcomeIsSaidAndSettledByTheKey_I12(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]pgproxy.Point{"committed": loseAnswer, "not committed": loseRequest} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p, id := behindProxy(t)
			p.Hold(lost, after(1)).Cut()
			p.Refuse(true)
			tip := eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(10)}, Key: &eventlog.Key{Value: "k"}}
			if _, err := f.log.Execute(t.Context(), tip); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
				t.Fatalf("got %v, want that the outcome is unknown", err)
			}
			if _, err := f.log.Execute(t.Context(), tip); !errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, eventlog.ErrOutcomeUnknown) {
				t.Fatalf("got %v, want that the database is not available", err)
			}
			p.Refuse(false)
			result, err := f.log.Execute(t.Context(), tip)
			if err != nil {
				t.Fatal(err)
			}
			if want := lost == loseAnswer; result.Replayed != want || result.Order.Tip.Minor != 11 {
				t.Errorf("replayed %v with tips of %d; want %v, 11", result.Replayed, result.Order.Tip.Minor, want)
			}
			if o := f.agree(id); o.Tip.Minor != 11 {
				t.Errorf("the tips are %d, want 11", o.Tip.Minor)
			}
		})
	}
}

func TestTerminatedBackendLeavesNothingAndTheCommandIsDoneOnce_I1(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	gate := f.gate()
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := f.log.Execute(t.Context(), eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(10)}}); err != nil {
			t.Error(err)
		}
	})
	f.until(waiting, 1) // all is written, and nothing committed
	first := get[int](f, `
		SELECT pid
		FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	f.exec(`SELECT pg_terminate_backend($1)`, first)
	f.until(waiting+` AND pid <> $2`, 1, first)
	gate.open()
	group.Wait()
	if o := f.agree(id); o.Tip.Minor != 10 || o.Version != 8 {
		t.Errorf("the tip is %d at version %d, want 10 at 8", o.Tip.Minor, o.Version)
	}
}

func TestCancelledCommandSaysThatItsOutcomeIsUnknown_I12(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.completed()
	gate := f.gate()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		group sync.WaitGroup
		err   error
	)
	group.Go(func() {
		_, err = f.log.Execute(ctx, eventlog.Command{Order: id, Do: order.AddTip{Amount: eur(10)}})
	})
	f.until(waiting, 1)
	cancel()
	group.Wait()
	if !errors.Is(err, eventlog.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled and the outcome is unknown", err)
	}
	gate.open()
}
