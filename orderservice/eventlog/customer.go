package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

var (
	// ErrNoCustomer: there is no such customer, and never was.
	ErrNoCustomer = errors.New("no such customer")

	// ErrCustomerLocked: orders of the customer are being placed, or somebody else is erasing, and that did not end in time. Nothing
	// was written; try again.
	ErrCustomerLocked = errors.New("the customer is being worked on")

	// ErrErased: there was such a customer, of whom nothing is known any more but the id.
	ErrErased = errors.New("the customer was erased")
)

// Customer is a person. Printed, logged or encoded, it is the id and nothing else: what shows more has to name it.
type Customer struct {
	ID      int
	Name    string `json:"-"`
	Email   string `json:"-"`
	Address string `json:"-"`
}

// String implements fmt.Stringer.
func (c Customer) String() string { return "customer " + strconv.Itoa(c.ID) }

// GoString implements fmt.GoStringer.
func (c Customer) GoString() string { return c.String() }

// LogValue implements slog.LogValuer.
func (c Customer) LogValue() slog.Value { return slog.StringValue(c.String()) }

// What a number's type cannot hold is no customer's: hence bigint.
const selectCustomer = `
SELECT c.erased_at IS NOT NULL, coalesce(d.name, ''), coalesce(d.email, ''), coalesce(d.address, '')
FROM customers AS c
LEFT JOIN customer_details AS d ON d.customer_id = c.id
WHERE c.id = $1::bigint`

// Customer returns what is known of a customer, ErrNoCustomer or ErrErased.
func (l *Log) Customer(ctx context.Context, id int) (Customer, error) {
	c, erased := Customer{ID: id}, false
	err := l.pool.QueryRow(ctx, selectCustomer, id).Scan(&erased, &c.Name, &c.Email, &c.Address)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		err = ErrNoCustomer
	case err != nil:
		err = translateRead(err)
	case erased:
		err = ErrErased
	}
	if err != nil {
		return Customer{}, fmt.Errorf("customer %d: %w", id, err)
	}
	return c, nil
}

// Erasure is the event that a customer was erased.
type Erasure struct {
	event.Event

	Before bool // it happened before the call, which did nothing
}

// Erase deletes what is known of a customer as a person and writes the event customer.erased, in one transaction (I1). From then on
// the customer orders nothing. Erased again, nothing happens, and the event is the first one's: however many try at once, there is
// one (I2), and the answer to a call that was cut off is got by calling again (I12).
//
// It returns an error that wraps ErrNoCustomer, ErrUnavailable, ErrCustomerLocked or ErrOutcomeUnknown; with all but the last one
// nothing was done.
func (l *Log) Erase(ctx context.Context, id int, headers map[string]string) (Erasure, error) {
	// One event for all attempts, so that it tells whether one of them has done it.
	e, err := event.New(event.CustomerKey(id), 1, time.Now(), event.CustomerErased{CustomerID: id})
	if err != nil {
		return Erasure{}, err
	}
	e.Headers = headers
	var last error
	for n := range attempts {
		if err := wait(ctx, n); err != nil {
			last = errors.Join(err, last)
			break
		}
		done, err := l.tryErase(ctx, id, e)
		if err == nil {
			l.tell(ctx, Result{Events: []event.Event{done.Event}, Replayed: done.Before})
			return done, nil
		}
		if errors.Is(last, ErrOutcomeUnknown) && !errors.Is(err, ErrNoCustomer) {
			err = fmt.Errorf("%w: %w", ErrOutcomeUnknown, err) // of an attempt before this one
		}
		if last = err; !passing(err) {
			break
		}
	}
	if errors.Is(last, ErrConflict) && !errors.Is(last, ErrOutcomeUnknown) {
		last = fmt.Errorf("%w: %v", ErrCustomerLocked, last) //nolint:errorlint // ErrConflict is about an order
	}
	return Erasure{}, fmt.Errorf("erase customer %d: %w", id, last)
}

// tryErase makes one attempt, and when that finds nothing to erase, looks why.
func (l *Log) tryErase(ctx context.Context, id int, e event.Event) (Erasure, error) {
	err := l.erase(ctx, id, e)
	if !errors.Is(err, ErrConflict) {
		return Erasure{Event: e}, err
	}
	var there, erased bool
	var first []outbox.Entry
	batch := &pgx.Batch{}
	batch.Queue(selectErased, id).QueryRow(func(row pgx.Row) error { return row.Scan(&there, &erased) })
	batch.Queue(selectHistory, event.CustomerKey(id), event.AggregateCustomer).Query(func(rows pgx.Rows) (err error) {
		first, err = pgx.CollectRows(rows, outbox.Scan)
		return err
	})
	switch failed := l.pool.SendBatch(ctx, batch).Close(); {
	case failed != nil:
		return Erasure{}, translateRead(failed)
	case !there:
		return Erasure{}, ErrNoCustomer
	case !erased || len(first) == 0: // the other one was rolled back, or holds the row still
		return Erasure{}, err
	}
	return Erasure{Event: first[0].Event, Before: first[0].ID != e.ID}, nil
}

const selectErased = `
SELECT count(*) > 0, coalesce(bool_and(erased_at IS NOT NULL), false)
FROM customers
WHERE id = $1::bigint`

// Like updateState: who is no customer, or none any more, divides by zero. It waits for orders of the customer that are being
// placed, as those hold the row (see insertState), and what comes behind it finds that there is no such customer.
const markErased = `
WITH updated AS (
    UPDATE customers
    SET erased_at = $2
    WHERE id = $1::bigint
      AND erased_at IS NULL
    RETURNING 1
)
SELECT 1 / count(*)
FROM updated`

const deleteDetails = `
DELETE FROM customer_details
WHERE customer_id = $1::bigint`

// erase is the transaction. It returns ErrConflict if there is nothing to erase.
func (l *Log) erase(ctx context.Context, id int, e event.Event) error {
	batch := &pgx.Batch{}
	batch.Queue(markErased, id, e.At)
	batch.Queue(deleteDetails, id)
	if _, err := outbox.Queue(batch, []event.Event{e}); err != nil {
		return err
	}
	return l.send(ctx, batch)
}
