// Package event says what happened to an order, or to a customer: the envelope that every event shares and the payload of each type.
//
// It promises that what was written once can be read for ever, and that a type's name, fields and meaning never change once
// an event of it has been written: a change is the next version of the type (see file upcast.go), and a program sees only
// the newest of each. It promises nothing about storage or transport: package outbox shapes an event as a Postgres row,
// package topic as a Kafka record.
package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The kinds of thing that events are about, as the outbox's aggregatetype column has them.
const (
	AggregateOrder    = "order"
	AggregateCustomer = "customer"
)

// Type names what happened and the version of the payload's schema, e.g. "order.placed.v1". It is in the envelope, in the
// outbox and in the topic, so that a payload can be told without being read.
type Type string

// TypeOf is Type(name), and allocates nothing for the types that this program knows.
func TypeOf(name []byte) Type {
	if known, is := types[string(name)]; is {
		return known
	}
	return Type(name)
}

// Aggregate is the kind of thing that events of the type are about. The type says it, so that whoever reads a record, which has
// nothing else that does, need not guess.
func (t Type) Aggregate() string {
	if strings.HasPrefix(string(t), AggregateCustomer+".") {
		return AggregateCustomer
	}
	return AggregateOrder
}

// Data is the payload of an event: one of the structs in this package.
type Data interface {
	Type() Type
}

// Event is one fact in the life of one order. Few are about something else, and have its key and history in the order's place:
// see Type.Aggregate.
type Event struct {
	ID      uuid.UUID         // unique, UUIDv7 (RFC 9562 section 5.7)
	Order   uuid.UUID         // the order it happened to, or a CustomerKey; the Kafka record's key
	Version int64             // position in the order's history: 1..n without a hole (I2)
	At      time.Time         // when it was decided, in UTC, microsecond resolution (what timestamptz keeps)
	Type    Type              // what happened, and the version that it was written in
	Payload json.RawMessage   // the JSON form of the Data; these bytes travel unchanged to the topic
	Headers map[string]string // tracing and audit context (see the Header names); nil when there is none
}

// Names of the headers that travel with an event from the command to the topic.
const (
	HeaderTraceparent   = "traceparent" // W3C Trace Context
	HeaderCorrelationID = "correlation_id"
	HeaderCausationID   = "causation_id"
	HeaderActor         = "actor"
)

// ErrUnknownType is returned for a type, or a version of one, that this version of the program does not know.
var ErrUnknownType = errors.New("unknown event type")

// New makes the event that data happened to an order at a time. Its id is new and sorts by time.
func New(order uuid.UUID, version int64, at time.Time, data Data) (Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Event{}, fmt.Errorf("event id: %w", err)
	}
	payload, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("encode %s: %w", data.Type(), err)
	}
	return Event{
		ID:      id,
		Order:   order,
		Version: version,
		At:      at.UTC().Truncate(time.Microsecond),
		Type:    data.Type(),
		Payload: payload,
	}, nil
}

// Data decodes the payload as the newest version of its type, whichever it was written in: its Type may be another than
// the event's. It returns an error that wraps ErrUnknownType if the type is not one of this package's.
func (e Event) Data() (Data, error) { return e.data(decoders) }

func (e Event) data(decoders map[Type]decoder) (Data, error) {
	decode, known := decoders[e.Type]
	if !known {
		return nil, fmt.Errorf("event %s: %w %q", e.ID, ErrUnknownType, e.Type)
	}
	data, err := decode(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("event %s: decode %s: %w", e.ID, e.Type, err)
	}
	return upcast(data), nil
}
