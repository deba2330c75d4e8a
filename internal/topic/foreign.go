package topic

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Foreign writes the headers of records of an outbox that is not the orders database's: the header id and those that columns
// are placed in, as Debezium's outbox event router does, and unless they are to be plain the ones of a CloudEvent and of the
// event's place in the log. It is for one goroutine.
type Foreign struct {
	placed [][]byte
	plain  bool
	fixed  [outbox.Bytes + 1][]byte // by what the payload is: the headers that are the same on every record
}

const deadLetterTopic = "dead_letter_topic"

// foreignID is the header with the event's id that Debezium writes.
const foreignID = "id"

// NewForeign makes one for the events of a source, which is their ce_source. The values of outbox.Row.Placed go into the
// headers of those names.
func NewForeign(source string, placed []string, plain bool) *Foreign {
	f := &Foreign{plain: plain}
	for _, name := range placed {
		f.placed = append(f.placed, []byte(name))
	}
	for content, kind := range map[outbox.Content]string{
		outbox.JSON: "application/json", outbox.Text: "text/plain; charset=utf-8", outbox.Bytes: "application/octet-stream",
	} {
		for _, h := range [fixedHeaders][2]string{{headerSpecVersion, "1.0"}, {headerSource, source}, {headerContentType, kind}} {
			f.fixed[content] = appendHeader(f.fixed[content], []byte(h[0]), []byte(h[1]))
		}
	}
	return f
}

// Append appends the headers of a row's record. A row that has no type of its own has that of its aggregate, one without a
// time that of its commit. It returns an error that wraps ErrUnpublishable if the time is not in Postgres's ISO style.
func (f *Foreign) Append(b []byte, row outbox.Row, src Source) ([]byte, error) {
	count := 1 + len(f.placed)
	if !f.plain {
		count += fixedHeaders + 4 + src.headers()
	}
	b = binary.AppendVarint(b, int64(count))
	b = appendHeader(b, []byte(foreignID), row.ID)
	for i, name := range f.placed {
		b = appendNullable(b, name, row.Placed[i])
	}
	if f.plain {
		return b, nil
	}
	b = append(b, f.fixed[row.Content]...)
	b = appendNamed(b, nameID, row.ID)
	b = appendNamed(b, nameType, kind(row))
	b = appendNamed(b, nameSubject, row.AggregateID)
	b, err := appendForeignTime(append(b, nameTime...), row, src)
	if err != nil {
		return b, fmt.Errorf("%w: event %s: %w", ErrUnpublishable, row.ID, err)
	}
	return src.append(b), nil
}

// AppendDead appends the headers of an event that is a dead letter: its id, why it is one, the topic that it was for, if that
// is known, and where in the log it stood.
func AppendDead(b []byte, row outbox.Row, src Source, why, meant string) []byte {
	headers := []header{{[]byte(foreignID), row.ID}, {[]byte("dead_letter_reason"), []byte(why)}}
	if meant != "" {
		headers = append(headers, header{[]byte(deadLetterTopic), []byte(meant)})
	}
	b = binary.AppendVarint(b, int64(len(headers)+src.headers()))
	for _, h := range headers {
		b = appendHeader(b, h.name, h.value)
	}
	return src.append(b)
}

// Meant returns the topic that a dead letter was for; empty if it does not say.
func Meant(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == deadLetterTopic {
			return string(h.Value)
		}
	}
	return ""
}

func kind(row outbox.Row) []byte {
	switch {
	case len(row.Type) > 0:
		return row.Type
	case len(row.AggregateType) > 0:
		return row.AggregateType
	}
	return []byte("event")
}

func appendForeignTime(b []byte, row outbox.Row, src Source) ([]byte, error) {
	if row.OccurredAt == nil {
		var scratch [len(time.RFC3339Nano)]byte
		return appendBytes(b, src.Committed.UTC().AppendFormat(scratch[:0], time.RFC3339Nano)), nil
	}
	return appendTime(b, row.OccurredAt)
}

// Reserved says whether a header's name is one that the relay gives a record of another outbox.
func Reserved(name string) bool {
	return name == foreignID || reserved([]byte(name)) && !slices.Contains([]string{headerVersion, headerSeq}, name)
}
