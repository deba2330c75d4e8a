package consumer

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// Events reads the events in the records, without Kafka's markers. One that cannot be read is an event with an error.
func Events(records []*kgo.Record) []view.Event {
	events := make([]view.Event, 0, len(records))
	for _, r := range records {
		if !r.Attrs.IsControl() {
			events = append(events, decodeOne(r))
		}
	}
	return events
}

// errUndecodable is wrapped for a record that is not an event, or not one that this program knows.
var errUndecodable = errors.New("undecodable")

func decodeOne(r *kgo.Record) view.Event {
	e := view.Event{Offset: r.Offset, LeaderEpoch: r.LeaderEpoch, Raw: (*raw)(r)}
	var err error
	if e.Event, err = topic.ParseEvent(r); err != nil {
		e.Err = fmt.Errorf("%w: %w", errUndecodable, err)
		e.Order, _ = uuid.ParseBytes(r.Key) // Nil if it is none
		return e
	}
	if e.Data, err = e.Event.Data(); err != nil {
		e.Err = fmt.Errorf("%w: %w", errUndecodable, err)
	}
	return e
}

// raw is a record that may have to be parked.
type raw kgo.Record

// Record implements view.Raw.
func (r *raw) Record() view.Record {
	record := view.Record{Key: r.Key, Value: r.Value, At: r.Timestamp}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, view.Header(h))
	}
	return record
}

// Decode reads a record that was parked once more.
func Decode(r view.Record, at view.Place) view.Event {
	record := &kgo.Record{Key: r.Key, Value: r.Value, Timestamp: r.At, Partition: at.Part, Offset: at.Offset, LeaderEpoch: -1}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader(h))
	}
	return decodeOne(record)
}
