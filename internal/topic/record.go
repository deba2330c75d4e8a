package topic

import (
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Record is what a reader gets of a row that the relay has published, without partition and offset: for those who write
// such records with a client. Its errors are those of Encoder.Append.
func Record(name string, row outbox.Row, src Source) (*kgo.Record, error) {
	headers, err := NewEncoder(src.Name).Append(nil, row, src)
	if err != nil {
		return nil, err
	}
	r := &kgo.Record{Topic: name, Key: row.AggregateID, Value: row.Payload, Timestamp: src.Committed}
	r.Headers, err = readHeaders(headers)
	return r, err
}

// readHeaders reads the headers of a record in a record batch.
func readHeaders(b []byte) ([]kgo.RecordHeader, error) {
	count, n := binary.Varint(b)
	b = b[max(n, 0):]
	short := n <= 0
	field := func() []byte {
		length, n := binary.Varint(b)
		if n <= 0 || length < 0 || length > int64(len(b)-n) {
			short = true
			return nil
		}
		value := b[n : n+int(length)]
		b = b[n+int(length):]
		return value
	}
	var headers []kgo.RecordHeader
	for range count {
		name := field()
		headers = append(headers, kgo.RecordHeader{Key: string(name), Value: field()})
	}
	if short || len(b) > 0 {
		return nil, errors.New("the headers are not as many and as long as they say")
	}
	return headers, nil
}
