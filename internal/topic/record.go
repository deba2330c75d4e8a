package topic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

var (
	specVersion = []byte("1.0")
	contentType = []byte("application/json")
	yes         = []byte("true")
)

// Record shapes an outbox row as a record for the topic. The record keeps the row's slices. The tx_last header is
// present on the last event of a transaction only. The headers that say where in the log the event stood are absent when
// that is not known, because the row was read from the table.
//
// It returns an error that wraps ErrUnpublishable if the row's headers are not a JSON object of strings or its time is not
// in Postgres's ISO style, which the outbox's constraints and the replication session's settings rule out.
func Record(topic string, row outbox.Row, src Source) (*kgo.Record, error) {
	at, err := rfc3339(row.OccurredAt)
	if err != nil {
		return nil, fmt.Errorf("%w: event %s: %w", ErrUnpublishable, row.ID, err)
	}
	h := make([]kgo.RecordHeader, 0, 14)
	if len(row.Headers) > 0 {
		if h, err = appendHeaders(h, row.Headers); err != nil {
			return nil, fmt.Errorf("%w: event %s: %w", ErrUnpublishable, row.ID, err)
		}
	}
	h = append(h,
		kgo.RecordHeader{Key: headerSpecVersion, Value: specVersion},
		kgo.RecordHeader{Key: headerID, Value: row.ID},
		kgo.RecordHeader{Key: headerSource, Value: []byte(src.Name)},
		kgo.RecordHeader{Key: headerType, Value: row.Type},
		kgo.RecordHeader{Key: headerSubject, Value: row.AggregateID},
		kgo.RecordHeader{Key: headerTime, Value: at},
		kgo.RecordHeader{Key: headerContentType, Value: contentType},
		kgo.RecordHeader{Key: headerVersion, Value: row.Version},
		kgo.RecordHeader{Key: headerSeq, Value: row.Seq},
	)
	if src.Commit > 0 {
		h = append(h,
			kgo.RecordHeader{Key: headerLSN, Value: []byte(src.Commit.String())},
			kgo.RecordHeader{Key: headerIndex, Value: strconv.AppendInt(nil, int64(src.Index), 10)},
		)
	}
	if src.Last {
		h = append(h, kgo.RecordHeader{Key: headerLast, Value: yes})
	}
	return &kgo.Record{Topic: topic, Key: row.AggregateID, Value: row.Payload, Timestamp: src.Committed, Headers: h}, nil
}

// appendHeaders adds the event's own headers. One with a name of ours is left out. It would pass for ours wherever ours is
// absent, as the mark of a transaction's last event mostly is, and a value that is malformed would make the record one
// that Parse refuses.
func appendHeaders(h []kgo.RecordHeader, object []byte) ([]kgo.RecordHeader, error) {
	var own map[string]string
	if err := json.Unmarshal(object, &own); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	for name, value := range own {
		if reserved[name] {
			continue
		}
		h = append(h, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return h, nil
}

// rfc3339 turns Postgres's "2026-11-23 04:22:00.5+00" into "2026-11-23T04:22:00.5Z" (RFC 3339 section 5.6).
func rfc3339(pg []byte) ([]byte, error) {
	bare, utc := bytes.CutSuffix(pg, []byte("+00"))
	if !utc || len(bare) < len("2006-01-02 15:04:05") || bare[10] != ' ' {
		return nil, fmt.Errorf("time %q is not UTC in ISO style", pg)
	}
	t := make([]byte, 0, len(bare)+1)
	t = append(t, bare...)
	t[10] = 'T'
	return append(t, 'Z'), nil
}
