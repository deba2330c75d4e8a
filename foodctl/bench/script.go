package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/load"
	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/eventlog"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// script is what pgbench does: what the event log said to Postgres to place an order, in one pipeline as the log does.
type script struct {
	path      string
	variables []string // name=value
	payload   int      // bytes of the event's
}

// newScript records the statements of an order of middling length, and makes pgbench say them.
func (t *ordersTrial) newScript(ctx context.Context, requests []load.Request) (script, error) {
	place, err := middling(requests)
	if err != nil {
		return script{}, err
	}
	said, result, err := t.overhear(ctx, place)
	if err != nil {
		return script{}, fmt.Errorf("record the statements of an order: %w", err)
	}
	s := script{path: filepath.Join(t.dir, "place.sql"), payload: len(result.Events[0].Payload)}
	lines := []string{`\set n :n + 1`, fmt.Sprintf(`\set customer random_zipfian(1, %d, %v)`, mix.Customers, mix.Zipf), `\startpipeline`}
	for i, q := range said {
		statement, err := t.translate(ctx, q, fmt.Sprintf("s%d", i), result, &s)
		if err != nil {
			return script{}, err
		}
		lines = append(lines, statement+";")
	}
	lines = append(lines, `\endpipeline`, "")
	return s, os.WriteFile(s.path, []byte(strings.Join(lines, "\n")), 0o600)
}

// marked is a customer whose number is no other parameter.
const marked = 97

// middling is the order whose lines are as long as those of half of all.
func middling(requests []load.Request) (order.Place, error) {
	length := func(r load.Request) (n int) {
		place, _ := r.Do.(order.Place)
		for _, l := range place.Lines {
			n += len(fmt.Sprint(l))
		}
		return n
	}
	sorted := slices.Clone(requests)
	slices.SortFunc(sorted, func(a, b load.Request) int { return length(a) - length(b) })
	place, is := sorted[len(sorted)/2].Do.(order.Place)
	if !is {
		return place, errors.New("the requests place no orders")
	}
	place.CustomerID = marked
	return place, nil
}

// said is a statement that was sent.
type said struct {
	sql  string
	args []any
}

// ear is a tracer that keeps the statements of batches.
type ear struct{ statements []said }

// TraceBatchStart implements pgx.BatchTracer.
func (e *ear) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (e *ear) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	e.statements = append(e.statements, said{d.SQL, d.Args})
}

// TraceBatchEnd implements pgx.BatchTracer.
func (e *ear) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TraceQueryStart implements pgx.QueryTracer.
func (e *ear) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (e *ear) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// overhear places an order by the event log, and returns what that said to Postgres.
func (t *ordersTrial) overhear(ctx context.Context, place order.Place) ([]said, eventlog.Result, error) {
	config, err := pgxpool.ParseConfig(t.writerURL())
	if err != nil {
		return nil, eventlog.Result{}, err
	}
	e := &ear{}
	config.ConnConfig.Tracer = e
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, eventlog.Result{}, err
	}
	defer pool.Close()
	id, err := uuid.NewV7()
	if err != nil {
		return nil, eventlog.Result{}, err
	}
	result, err := eventlog.New(pool, slog.New(slog.DiscardHandler)).Execute(ctx, eventlog.Command{
		Order: id, Do: place, Headers: map[string]string{event.HeaderActor: "load"}, // as load has it
	})
	t.answered.note(load.Answer{Outcome: load.Done, Order: id})
	if err == nil && (len(e.statements) != 2 || len(result.Events) != 1) {
		err = fmt.Errorf("%d statements and %d events, not 2 and 1: is a batch no longer how an order is placed?", len(e.statements), len(result.Events))
	}
	return e.statements, result, err
}

var parameter = regexp.MustCompile(`\$(\d+)`)

// newID is an id in pgbench's words: of client and count, so that ids rise with time as UUIDv7 do, and the order's is the
// same in each statement.
const newID = "lpad(to_hex(:n::bigint * 1000 + :client_id::bigint), 32, '0')::uuid"

// translate puts variables in the place of a statement's parameters, with the values that were sent, but for ids and the
// customer: those are each order's own.
func (t *ordersTrial) translate(ctx context.Context, q said, name string, result eventlog.Result, s *script) (string, error) {
	prepared, err := t.db.Prepare(ctx, "", q.sql)
	if err != nil {
		return "", fmt.Errorf("prepare a statement of the event log: %w", err)
	}
	ids := []string{result.ID.String(), result.Events[0].ID.String()}
	words := make([]string, len(q.args))
	for i, arg := range q.args {
		text, err := t.db.TypeMap().Encode(prepared.ParamOIDs[i], pgtype.TextFormatCode, arg, nil)
		if err != nil {
			return "", fmt.Errorf("parameter %d of a statement of the event log: %w", i+1, err)
		}
		variable := fmt.Sprintf("%sp%d", name, i+1)
		switch value := string(text); {
		case slices.Contains(ids, value):
			words[i] = newID
		case slices.Contains(ids, strings.Trim(value, `{}`)):
			words[i] = "ARRAY[" + newID + "]"
		case value == strconv.Itoa(marked):
			words[i] = ":customer"
		case text == nil:
			words[i] = "NULL"
		default:
			words[i] = ":" + variable
			s.variables = append(s.variables, variable+"="+value)
		}
	}
	return parameter.ReplaceAllStringFunc(strings.TrimSpace(q.sql), func(p string) string {
		i, _ := strconv.Atoi(p[1:]) // the pattern is of digits
		return words[i-1]
	}), nil
}
