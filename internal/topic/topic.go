// Package topic shapes an event as a Kafka record, in both directions: the relay writes with an Encoder, the audit reads
// with Parse and the projector with ParseEvent.
//
// A record's key is the order's id, so that one order stays in one partition; its value is the outbox payload, byte for
// byte, behind the id of its schema if there is a schema registry (see Schemas); its timestamp is the commit time of the source
// transaction. The envelope is in headers: CloudEvents 1.0 in Kafka binary mode (cloudevents/spec, kafka-protocol-binding.md section
// 3.2), and beside it where the event stood in its source.
package topic

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Name is the topic of the food orders' events, and Partitions the number of its partitions. The number never changes:
// an order's later events would go to another partition than its earlier ones.
const (
	Name       = "food-orders"
	Partitions = 3
)

// Headers of a record, beside those that came with the event (see the Header names of package event).
const (
	headerSpecVersion = "ce_specversion"
	headerID          = "ce_id"
	headerSource      = "ce_source"
	headerType        = "ce_type"
	headerSubject     = "ce_subject"
	headerTime        = "ce_time"
	headerContentType = "content-type"
	headerVersion     = "version"
	headerSeq         = "outbox_seq"
	headerLSN         = "commit_lsn"
	headerIndex       = "tx_index"
	headerLast        = "tx_last"
)

// reserved says whether a header is one that an event cannot bring along.
func reserved(name []byte) bool {
	switch string(name) {
	case headerSpecVersion, headerID, headerSource, headerType, headerSubject, headerTime, headerContentType, headerVersion,
		headerSeq, headerLSN, headerIndex, headerLast:
		return true
	}
	return false
}

// Source says where in the source database's log an event stood.
type Source struct {
	Name      string     // the ce_source of the records, e.g. "/orders"
	Commit    outbox.LSN // the commit LSN of its transaction; 0 if it was read from the table and not from the log
	Committed time.Time  // when that transaction committed
	Index     int        // its place among the events of the transaction, from 0
	Last      bool       // whether it is the transaction's last event
}

// Message is an event as read from the topic.
type Message struct {
	event.Event

	Seq    int64 // its outbox sequence number
	Source Source
}

// ErrMalformed is wrapped by every error of Parse and ParseEvent.
var ErrMalformed = errors.New("malformed record")

// ErrUnpublishable is wrapped by every error of Encoder.Append and Foreign.Append: the row is such that no record can be made of it.
var ErrUnpublishable = errors.New("the outbox row cannot be published")

// Parse reads the event in a record. The payload is not decoded; event.Event.Data does that.
func Parse(r *kgo.Record) (Message, error) { return parse(r, true) }

// ParseEvent is Parse without the event's own headers and all that is not the event's. It hardly allocates.
func ParseEvent(r *kgo.Record) (event.Event, error) {
	m, err := parse(r, false)
	return m.Event, err
}

func parse(r *kgo.Record, all bool) (Message, error) {
	m := Message{Event: event.Event{Payload: Payload(r.Value)}, Source: Source{Committed: r.Timestamp}}
	for _, h := range r.Headers {
		if err := m.header(h.Key, h.Value, all); err != nil {
			return Message{}, fmt.Errorf("%w at %s/%d offset %d: header %s: %w", ErrMalformed, r.Topic, r.Partition, r.Offset, h.Key, err)
		}
	}
	if m.ID == uuid.Nil || m.Order == uuid.Nil || m.Version < 1 || m.Type == "" {
		return Message{}, fmt.Errorf("%w at %s/%d offset %d: the event's id, subject, version or type is missing", ErrMalformed, r.Topic, r.Partition, r.Offset)
	}
	if string(r.Key) != m.Order.String() {
		return Message{}, fmt.Errorf("%w at %s/%d offset %d: key %q is not its subject %s", ErrMalformed, r.Topic, r.Partition, r.Offset, r.Key, m.Order)
	}
	return m, nil
}

// header reads one header. Most values are read where they are: the strings here do not outlive the call.
func (m *Message) header(key string, value []byte, all bool) (err error) {
	switch key {
	case headerSpecVersion:
		if string(value) != "1.0" {
			err = fmt.Errorf("CloudEvents version %q, want 1.0", value)
		}
	case headerContentType:
	case headerID:
		m.ID, err = uuid.ParseBytes(value)
	case headerSource:
		if all {
			m.Source.Name = string(value)
		}
	case headerType:
		m.Type = event.TypeOf(value)
	case headerSubject:
		m.Order, err = uuid.ParseBytes(value)
	case headerTime:
		err = m.At.UnmarshalText(value) // RFC 3339
	case headerVersion:
		m.Version, err = strconv.ParseInt(string(value), 10, 64)
	case headerSeq:
		m.Seq, err = strconv.ParseInt(string(value), 10, 64)
	case headerLSN:
		m.Source.Commit, err = outbox.ParseLSN(string(value))
	case headerIndex:
		m.Source.Index, err = strconv.Atoi(string(value))
	case headerLast:
		m.Source.Last, err = strconv.ParseBool(string(value))
	default:
		if !all {
			return nil
		}
		if m.Headers == nil {
			m.Headers = make(map[string]string)
		}
		m.Headers[key] = string(value)
	}
	return err
}

// ID returns the id of the event in a record without reading the rest of it. Debezium's records have it in another header.
func ID(r *kgo.Record) (string, error) {
	for _, name := range []string{headerID, foreignID} {
		for _, h := range r.Headers {
			if h.Key == name {
				return string(h.Value), nil
			}
		}
	}
	return "", fmt.Errorf("%w at %s/%d offset %d: no %s header, and none named %s", ErrMalformed, r.Topic, r.Partition, r.Offset, headerID, foreignID)
}
