package eventlog_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// open makes a log that tells nobody.
func open(pool *pgxpool.Pool) *eventlog.Log { return eventlog.New(pool, slog.New(slog.DiscardHandler)) }

// fixture is a log in a database of its own. Admin goes to the same database without whatever stands between it and log.
type fixture struct {
	*testing.T

	log   *eventlog.Log
	admin *pgxpool.Pool
}

func setup(t *testing.T) fixture {
	t.Helper()
	pool := connect(t, testenv.Orders(t), 8)
	return fixture{T: t, log: open(pool), admin: pool}
}

func connect(t *testing.T, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = conns
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // tests count requests
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func eur(minor int64) event.Money { return event.Money{Minor: minor, Currency: "EUR"} }

var place = order.Place{CustomerID: 7, Service: event.Pickup, Lines: []event.Line{
	{ItemID: 1, Name: "Soup", Quantity: 2, UnitPrice: eur(450)},
}}

// life returns the commands that complete a placed order.
func life() []order.Command {
	return []order.Command{
		order.AuthorizePayment{},
		order.Accept{ReadyAt: time.Now().Add(time.Hour)},
		order.StartPreparing{},
		order.MarkReady{},
		order.Collect{},
	}
}

// do executes commands on an order, which must succeed.
func (f fixture) do(id uuid.UUID, cmds ...order.Command) order.Order {
	f.Helper()
	var result eventlog.Result
	for _, cmd := range cmds {
		var err error
		if result, err = f.log.Execute(f.Context(), eventlog.Command{Order: id, Do: cmd}); err != nil {
			f.Fatal(err)
		}
	}
	return result.Order
}

// completed returns a new order whose life has ended well.
func (f fixture) completed() uuid.UUID {
	f.Helper()
	id := uuid.New()
	f.do(id, append([]order.Command{place}, life()...)...)
	return id
}

// exec runs a statement as the administrator.
func (f fixture) exec(statement string, args ...any) {
	f.Helper()
	if _, err := f.admin.Exec(f.Context(), statement, args...); err != nil {
		f.Fatal(err)
	}
}

// get reads one value as the administrator.
func get[V any](f fixture, query string, args ...any) (v V) {
	f.Helper()
	if err := f.admin.QueryRow(f.Context(), query, args...).Scan(&v); err != nil {
		f.Fatalf("%s: %v", query, err)
	}
	return v
}

// until waits for a query to return true, for half a minute at most.
func (f fixture) until(query string, args ...any) {
	f.Helper()
	late := time.After(30 * time.Second)
	for !get[bool](f, query, args...) {
		select {
		case <-late:
			f.Fatalf("waited in vain for %s", query)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// agree checks that the order's row, its columns and the fold of its events say the same (I1), and that the versions are
// 1..n (I2).
func (f fixture) agree(id uuid.UUID) order.Order {
	f.Helper()
	folded, err := f.log.Load(f.Context(), id)
	if err != nil {
		f.Fatal(err)
	}
	var row order.Order
	if err := json.Unmarshal([]byte(get[string](f, `SELECT state::text FROM orders WHERE id = $1`, id)), &row); err != nil {
		f.Fatal(err)
	}
	if diff := cmp.Diff(folded, row); diff != "" {
		f.Errorf("the row's state is not the fold (-fold +row):\n%s", diff)
	}
	columns := order.Order{Total: event.Money{}}
	err = f.admin.QueryRow(f.Context(), `
		SELECT customer_id, fulfilment, payment, version, total_minor, currency, placed_at, updated_at
		FROM orders
		WHERE id = $1`, id).Scan(&columns.CustomerID, &columns.Fulfilment, &columns.Payment, &columns.Version,
		&columns.Total.Minor, &columns.Total.Currency, &columns.PlacedAt, &columns.UpdatedAt)
	if err != nil {
		f.Fatal(err)
	}
	want := order.Order{
		CustomerID: folded.CustomerID, Fulfilment: folded.Fulfilment, Payment: folded.Payment, Version: folded.Version,
		Total: folded.Total, PlacedAt: folded.PlacedAt, UpdatedAt: folded.UpdatedAt,
	}
	if diff := cmp.Diff(want, columns); diff != "" {
		f.Errorf("the row's columns are not the fold's (-fold +row):\n%s", diff)
	}
	return folded
}
