// Package life follows one order through the whole system: its row and its events in the orders database, the record of each
// event in the topic, and what the read model has made of it.
//
// It asks each place itself, and takes nobody's word for another's part. It promises that what it says to be somewhere was
// there when it looked, that it looks at no more of the topic than the places that the read model names and what the read
// model has yet to read, and that it ends within seconds, whatever does not answer. It judges one order only: whether the
// whole system kept its promise is for the audit to say.
package life

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// ErrUnknown is returned for an order that neither the orders database nor the read model knows.
var ErrUnknown = errors.New("no such order")

// nowhere is the offset of an event whose record was not found.
const nowhere = -1

// Life is an order and all that has happened to it. Its JSON names are a contract with the live page.
type Life struct {
	Order      uuid.UUID `json:"order_id"`
	Customer   int32     `json:"customer_id"`
	Fulfilment string    `json:"fulfilment"`
	Payment    string    `json:"payment"`
	Version    int64     `json:"version"`            // of the orders table; 0: it has no such order
	ReadModel  int64     `json:"read_model_version"` // 0: none of its events is applied
	Blocked    string    `json:"blocked"`            // why an event could not be applied, and the later ones wait behind it; else ""
	Topic      string    `json:"topic"`
	Events     []Event   `json:"events"`  // by version
	Trouble    []string  `json:"trouble"` // what could not be looked at, so that nothing is known of it
}

// Event is one event of an order, and where it is.
type Event struct {
	Version   int64           `json:"version"`
	Type      string          `json:"type"`
	ID        uuid.UUID       `json:"event_id"`
	Other     uuid.UUID       `json:"read_model_event_id,omitzero"` // of the event that the read model has in its place, which must not be: then it is not applied
	At        time.Time       `json:"at"`                           // when it was decided
	Seq       int64           `json:"seq"`                          // in the outbox; 0: it is not there
	Commit    outbox.LSN      `json:"commit_lsn,omitzero"`          // of its transaction; absent if its record is not known or was read from the table
	Index     int             `json:"tx_index"`                     // its place in the transaction, from 0
	Last      bool            `json:"tx_last"`                      // whether it is the transaction's last event
	Committed time.Time       `json:"committed,omitzero"`           // when its transaction committed, as its record has it
	Partition int32           `json:"partition"`                    // where an order's records are; -1: not known, as the topic does not answer
	Offset    int64           `json:"offset"`                       // of its record; -1: not known
	Found     bool            `json:"record_found"`                 // the record was read there
	Applied   bool            `json:"applied"`                      // the read model has it
	AppliedAt int64           `json:"applied_offset"`               // where the read model read it; -1: not known
	TraceID   string          `json:"trace_id"`
	Payload   json.RawMessage `json:"payload"`
}

// erased stands for the fulfilment of what is a customer and no order.
const erased = "erased"

// customer fills in what an order has in tables of its own. Of a customer's key there are events and no such rows.
func (l *Life) customer() {
	if len(l.Events) == 0 || event.Type(l.Events[0].Type).Aggregate() != event.AggregateCustomer {
		return
	}
	var data event.CustomerErased
	_ = json.Unmarshal(l.Events[0].Payload, &data) // what only the read model has is shown without its number
	l.Customer, l.Fulfilment = int32(data.CustomerID), erased
	for _, e := range l.Events {
		if e.Seq > 0 {
			l.Version = e.Version
		}
		if e.Applied {
			l.ReadModel = e.Version
		}
	}
}

// Complete says whether all that has happened to the order is in the read model.
func (l *Life) Complete() bool {
	if l.Version == 0 || l.ReadModel != l.Version || l.Blocked != "" || int64(len(l.Events)) != l.Version {
		return false
	}
	for _, e := range l.Events {
		if !e.Applied || e.Seq == 0 {
			return false
		}
	}
	return true
}
