// Package outbox shapes an event as a row of the outbox table, in both directions. The table is the event log: rows are
// inserted in the transaction that changes the order, and never updated.
//
// Writers use Queue and readers Columns with Scan. The relay reads the same columns out of the WAL as a Row, whose fields
// stay the text that Postgres sent: it passes them on and has no need to understand them.
package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Table, Publication and the columns are the contract between the orders database and the relay.
// The first five columns have the names that Debezium's outbox event router expects.
const (
	Table       = "outbox"
	Publication = "outbox"

	ColumnID            = "id"
	ColumnAggregateType = "aggregatetype"
	ColumnAggregateID   = "aggregateid"
	ColumnType          = "type"
	ColumnPayload       = "payload"
	ColumnSeq           = "seq"
	ColumnVersion       = "version"
	ColumnHeaders       = "headers"
	ColumnOccurredAt    = "occurred_at"
)

// Row is an outbox row as the text that Postgres sends. The slices may share one buffer.
type Row struct {
	Seq           []byte // decimal
	ID            []byte // the event's id
	AggregateType []byte
	AggregateID   []byte // the record's key
	Type          []byte
	Version       []byte // decimal
	Payload       []byte // the record's value, passed through untouched
	Headers       []byte // a JSON object of strings; nil when the column is NULL
	OccurredAt    []byte // timestamptz in UTC and ISO date style

	// Of an outbox that is not ours: values for headers, nil for NULL, and what the payload is.
	Placed  [][]byte
	Content Content
}

// Content says what a payload is.
type Content uint8

// What payloads can be.
const (
	JSON Content = iota
	Text
	Bytes
)

// Time parses OccurredAt.
func (r Row) Time() (time.Time, error) {
	t, err := time.Parse("2006-01-02 15:04:05-07", string(r.OccurredAt))
	if err != nil {
		return time.Time{}, fmt.Errorf("event %s: %w", r.ID, err)
	}
	return t.UTC(), nil
}

const insert = `
INSERT INTO outbox (id, aggregatetype, aggregateid, type, version, payload, headers, occurred_at)
SELECT *
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $6::json[], $7::json[], $8::timestamptz[])`

// Queue adds to the batch the one statement that inserts the events, in their order. Payloads go in as the bytes that
// they are. The batch must run in the transaction that changes the order (I1).
func Queue(b *pgx.Batch, events []event.Event) (*pgx.QueuedQuery, error) {
	n := len(events)
	ids, orders := make(pgtype.FlatArray[pgtype.UUID], n), make(pgtype.FlatArray[pgtype.UUID], n) // []uuid.UUID would go by reflection
	kinds, types := make([]string, n), make([]string, n)
	versions, payloads, headers, times := make([]int64, n), make([]string, n), make([]*string, n), make([]time.Time, n)
	for i, e := range events {
		h, err := marshalHeaders(e.Headers)
		if err != nil {
			return nil, fmt.Errorf("headers of event %s: %w", e.ID, err)
		}
		ids[i], orders[i] = pgtype.UUID{Bytes: e.ID, Valid: true}, pgtype.UUID{Bytes: e.Order, Valid: true}
		kinds[i], types[i] = e.Type.Aggregate(), string(e.Type)
		versions[i], payloads[i], headers[i], times[i] = e.Version, string(e.Payload), h, e.At
	}
	return b.Queue(insert, ids, kinds, orders, types, versions, payloads, headers, times), nil
}

// Columns are what Scan reads, in its order, for use in a SELECT.
const Columns = "seq, id, aggregateid, type, version, payload, headers, occurred_at"

// Scan reads an event and its place in the outbox from a row of Columns. It is a pgx.RowToFunc.
func Scan(row pgx.CollectableRow) (Entry, error) {
	var (
		e       Entry
		payload string
		headers *string
	)
	if err := row.Scan(&e.Seq, &e.ID, &e.Order, &e.Type, &e.Version, &payload, &headers, &e.At); err != nil {
		return Entry{}, fmt.Errorf("outbox row: %w", err)
	}
	e.Payload, e.At = []byte(payload), e.At.UTC()
	if headers != nil {
		if err := json.Unmarshal([]byte(*headers), &e.Headers); err != nil {
			return Entry{}, fmt.Errorf("headers of event %s: %w", e.ID, err)
		}
	}
	return e, nil
}

// Entry is an event with its place in the outbox.
type Entry struct {
	event.Event

	Seq int64 // order of insertion, not of commit: never a position to resume from
}

// marshalHeaders returns nil, for NULL, when there are none.
func marshalHeaders(h map[string]string) (*string, error) {
	if len(h) == 0 {
		return nil, nil //nolint:nilnil // NULL is the column's value for no headers
	}
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	s := string(b)
	return &s, nil
}
