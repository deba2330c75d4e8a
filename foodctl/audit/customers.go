package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// erased are the customers that the customers table says were erased, by their keys. Each must have the event that says so, of the
// same time, and no details any more (I1).
type erased struct {
	table *Table
	list  *findings
	rows  map[uuid.UUID]*erasedRow
}

type erasedRow struct {
	id      int
	at      time.Time
	details bool // there are some; not known to who may not see them
	told    bool // there is an event
}

const selectErased = `
SELECT c.id, c.erased_at, EXISTS (SELECT FROM customer_details AS d WHERE d.customer_id = c.id)
FROM customers AS c
WHERE c.erased_at IS NOT NULL`

func readErased(ctx context.Context, tx pgx.Tx, table *Table, list *findings) (*erased, error) {
	e := &erased{table: table, list: list, rows: make(map[uuid.UUID]*erasedRow)}
	var row erasedRow
	rows, _ := tx.Query(ctx, selectErased) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&row.id, &row.at, &row.details}, func() error {
		e.table.Rows++
		one := row
		e.rows[event.CustomerKey(row.id)] = &one
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read customers: %w", err)
	}
	return e, nil
}

// event compares the row of a customer with the event that is about it.
func (e *erased) event(ev event.Event) {
	row := e.rows[ev.Order]
	switch {
	case row == nil:
		e.wrong(ev, "no customer with this key is marked as erased")
		return
	case row.told:
		e.wrong(ev, fmt.Sprintf("customer %d has another event before it", row.id))
	case !row.at.Equal(ev.At):
		e.wrong(ev, fmt.Sprintf("customer %d was erased at %s, the event happened at %s", row.id, row.at.UTC().Format(time.RFC3339Nano), ev.At.Format(time.RFC3339Nano)))
	case row.details:
		e.wrong(ev, fmt.Sprintf("customer %d was erased, and there are details", row.id))
	}
	row.told = true
}

// drain reports who is marked as erased without an event.
func (e *erased) drain() {
	for key, row := range e.rows {
		if !row.told {
			e.wrong(event.Event{Order: key}, fmt.Sprintf("customer %d is marked as erased, and no event says so", row.id))
		}
	}
}

func (e *erased) wrong(ev event.Event, detail string) {
	e.table.Wrong++
	e.list.add(Offender{Kind: WrongCustomer, Table: e.table.Name, Event: ev.ID, Order: ev.Order, Version: ev.Version, Detail: detail})
}

// customer compares what happened to a customer. The read model has it in its timeline and nowhere else.
func (f *fold) customer(ctx context.Context, e event.Event) error {
	f.erased.event(e)
	if f.model == nil {
		return nil
	}
	f.model.parked(e)
	if !f.model.reflects(e.ID) {
		return nil
	}
	return f.model.event(ctx, e)
}
