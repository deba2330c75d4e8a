package load

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
	"github.com/adamkwhite/kafkafoodpipeline/sql"
)

// actor is the audit header of the events that the load makes straight in the log.
const actor = "load"

// direct is the event log as a target.
type direct struct {
	name string
	pool *pgxpool.Pool
	log  *eventlog.Log
}

// Log returns the event log in an orders database as a target, with so many connections at most.
func Log(ctx context.Context, address string, connections int) (Target, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		// Not wrapped: the parser's error quotes what it was given, which may hold a password where none is expected.
		return nil, errors.New("--to is not of the form postgres://user@host:port/database")
	}
	if !strings.Contains(address, "pool_max_conns") {
		config.MaxConns = int32(min(connections, 1000)) //nolint:gosec // bounded here
	}
	for name, value := range map[string]string{"application_name": "foodctl load", "lock_timeout": "3s", "statement_timeout": "5s"} {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connections to %s: %w", ops.Redact(address), err)
	}
	return &direct{ops.Redact(address), pool, eventlog.New(pool, slog.New(slog.DiscardHandler))}, nil
}

// Name implements Target.
func (d *direct) Name() string { return d.name }

// Close implements Target.
func (d *direct) Close() { d.pool.Close() }

// Flaws implements Target. The others are flaws of documents.
func (d *direct) Flaws() []Flaw { return []Flaw{NoQuantity, BrokenRule} }

const selectMenu = `
SELECT id, name, price_minor, currency
FROM menu_items
ORDER BY id`

// Menu implements Target.
func (d *direct) Menu(ctx context.Context) ([]event.Line, error) {
	if err := sql.Check(ctx, d.pool, sql.Orders); err != nil {
		return nil, fmt.Errorf("orders database: %w", err)
	}
	rows, _ := d.pool.Query(ctx, selectMenu) // CollectRows returns its error
	menu, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l event.Line, err error) {
		err = row.Scan(&l.ItemID, &l.Name, &l.UnitPrice.Minor, &l.UnitPrice.Currency)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("menu: %w", err)
	}
	return menu, nil
}

// Do implements Target.
func (d *direct) Do(ctx context.Context, r Request) Answer {
	if r.Kind == Read {
		o, err := d.log.Load(ctx, r.Order)
		return judged(r, eventlog.Result{ID: r.Order, Order: o}, err)
	}
	cmd := eventlog.Command{Order: r.Order, Do: r.Do, Headers: map[string]string{event.HeaderActor: actor}}
	if r.Kind == Act {
		cmd.Known = &r.Known
	} else {
		var err error
		if cmd.Order, err = uuid.NewV7(); err != nil {
			return Answer{Outcome: Wrong, Status: "not sent", Detail: err.Error()}
		}
	}
	if place, is := r.Do.(order.Place); is && r.Flaw == NoQuantity {
		place.Lines = slices.Clone(place.Lines)
		place.Lines[0].Quantity = 0
		cmd.Do = place
	}
	if r.Key != "" {
		cmd.Key = &eventlog.Key{Value: r.Key, RequestHash: sha256.Sum256([]byte(r.Do.Name() + r.Order.String()))}
	}
	result, err := d.log.Execute(ctx, cmd)
	return judged(r, result, err)
}

// judged holds what the log said against what the request had to get.
func judged(r Request, result eventlog.Result, err error) Answer {
	rule, broken := errors.AsType[*order.RuleError](err)
	switch {
	case err == nil && r.Flaw == Sound:
		a := Answer{Outcome: Done, Status: "committed", Order: result.ID, State: result.Order, Replayed: result.Replayed}
		if r.Kind == Read {
			a.Status = "read"
		}
		return a.withContent(r, result)
	case err == nil:
		return Answer{Outcome: Wrong, Status: "committed", Detail: fmt.Sprintf("version %d of order %s was made of it", result.Order.Version, result.ID)}
	case broken && r.Flaw != Sound && (rule.Field != "") == (r.Flaw == NoQuantity):
		return Answer{Outcome: Refused, Status: "rule " + string(rule.Rule)}
	case broken && r.Kind == Place && rule.Rule == order.RuleCustomer:
		return Answer{Outcome: NoSuch, Status: "rule " + string(rule.Rule)}
	case broken:
		return Answer{Outcome: Wrong, Status: "rule " + string(rule.Rule), Detail: err.Error()}
	case errors.Is(err, eventlog.ErrKeyInUse):
		return Answer{Outcome: InUse, Status: "key in use"}
	case errors.Is(err, eventlog.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		return Answer{Outcome: NoAnswer, Status: "none", Detail: err.Error()}
	case errors.Is(err, eventlog.ErrUnavailable):
		return Answer{Outcome: Busy, Status: "unavailable"}
	default:
		return Answer{Outcome: Wrong, Status: "error", Detail: err.Error()}
	}
}

// withContent adds what the twin of the request must be answered as well.
func (a Answer) withContent(r Request, result eventlog.Result) Answer {
	if r.Key == "" {
		return a
	}
	result.Replayed = false
	content, err := json.Marshal(result)
	if err != nil {
		return Answer{Outcome: Wrong, Status: a.Status, Detail: err.Error()}
	}
	a.Content = string(content)
	return a
}
