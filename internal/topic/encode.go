package topic

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Encoder writes the headers of records in the form that they have within a record batch (Kafka's protocol guide, section
// "Record": a count, then names and values behind their lengths). It allocates nothing for a row whose own headers are
// plain, and is for one goroutine.
type Encoder struct {
	fixed []byte // the headers that are the same on every record
	own   []header
}

type header struct{ name, value []byte }

// fixedHeaders is how many headers are in Encoder.fixed.
const fixedHeaders = 3

// NewEncoder makes one for the events of a source, which is their ce_source, e.g. "/orders".
func NewEncoder(source string) *Encoder {
	var fixed []byte
	for _, h := range [fixedHeaders][2]string{
		{headerSpecVersion, "1.0"}, {headerSource, source}, {headerContentType, "application/json"},
	} {
		fixed = appendHeader(fixed, []byte(h[0]), []byte(h[1]))
	}
	return &Encoder{fixed: fixed}
}

// The beginnings of headers whose names are ours: the name behind its length.
var (
	nameID      = appendBytes(nil, []byte(headerID))
	nameType    = appendBytes(nil, []byte(headerType))
	nameSubject = appendBytes(nil, []byte(headerSubject))
	nameTime    = appendBytes(nil, []byte(headerTime))
	nameVersion = appendBytes(nil, []byte(headerVersion))
	nameSeq     = appendBytes(nil, []byte(headerSeq))
	nameLSN     = appendBytes(nil, []byte(headerLSN))
	nameIndex   = appendBytes(nil, []byte(headerIndex))
	last        = appendHeader(nil, []byte(headerLast), []byte("true"))
)

// Append appends the headers of a row's record. The tx_last header is present on the last event of a transaction only. The
// headers that say where in the log the event stood are absent when that is not known, because the row was read from the
// table.
//
// It returns an error that wraps ErrUnpublishable if the row's headers are not a JSON object of strings or its time is not
// in Postgres's ISO style, which the outbox's constraints and the replication session's settings rule out.
func (e *Encoder) Append(b []byte, row outbox.Row, src Source) ([]byte, error) {
	if err := e.ownHeaders(row.Headers); err != nil {
		return b, fmt.Errorf("%w: event %s: %w", ErrUnpublishable, row.ID, err)
	}
	b = binary.AppendVarint(b, int64(len(e.own)+fixedHeaders+6+src.headers()))
	for _, h := range e.own {
		b = appendHeader(b, h.name, h.value)
	}
	b = append(b, e.fixed...)
	b = appendNamed(b, nameID, row.ID)
	b = appendNamed(b, nameType, row.Type)
	b = appendNamed(b, nameSubject, row.AggregateID)
	b = appendNamed(b, nameVersion, row.Version)
	b = appendNamed(b, nameSeq, row.Seq)
	b = append(b, nameTime...)
	b, err := appendTime(b, row.OccurredAt)
	if err != nil {
		return b, fmt.Errorf("%w: event %s: %w", ErrUnpublishable, row.ID, err)
	}
	return src.append(b), nil
}

// headers is how many headers say where in the log the event stood.
func (src Source) headers() (n int) {
	if src.Commit > 0 {
		n += 2
	}
	if src.Last {
		n++
	}
	return n
}

// append appends them.
func (src Source) append(b []byte) []byte {
	if src.Commit > 0 {
		var scratch [20]byte
		b = appendNamed(b, nameLSN, src.Commit.Append(scratch[:0]))
		b = appendNamed(b, nameIndex, strconv.AppendInt(scratch[:0], int64(src.Index), 10))
	}
	if src.Last {
		b = append(b, last...)
	}
	return b
}

// appendNullable appends a header whose value may be null, which has the length -1.
func appendNullable(b, name, value []byte) []byte {
	if value != nil {
		return appendHeader(b, name, value)
	}
	return binary.AppendVarint(appendBytes(b, name), -1)
}

// ownHeaders reads the event's own headers into e.own. One with a name of ours is left out. It would pass for ours wherever
// ours is absent, as the mark of a transaction's last event mostly is, and a value that is malformed would make the record
// one that Parse refuses.
func (e *Encoder) ownHeaders(object []byte) error {
	e.own = e.own[:0]
	if len(object) == 0 {
		return nil
	}
	plain, ok := appendPlain(e.own, object)
	e.own = plain
	if !ok {
		var own map[string]string
		if err := json.Unmarshal(object, &own); err != nil {
			return fmt.Errorf("headers: %w", err)
		}
		e.own = e.own[:0]
		for _, name := range slices.Sorted(maps.Keys(own)) {
			e.own = append(e.own, header{[]byte(name), []byte(own[name])})
		}
	}
	e.own = slices.DeleteFunc(e.own, func(h header) bool { return reserved(h.name) })
	return nil
}

// appendPlain reads an object of strings without escapes, each name once, as almost all are. It returns false for anything
// else, which package json then reads or refuses.
func appendPlain(own []header, object []byte) ([]header, bool) {
	s := scanner(object)
	if !s.punctuation('{') {
		return own, false
	}
	for first := true; ; first = false {
		if s.punctuation('}') {
			return own, len(s.rest()) == 0
		}
		if !first && !s.punctuation(',') {
			return own, false
		}
		name, ok := s.text()
		if !ok || !s.punctuation(':') {
			return own, false
		}
		value, ok := s.text()
		if !ok || slices.ContainsFunc(own, func(h header) bool { return bytes.Equal(h.name, name) }) {
			return own, false
		}
		own = append(own, header{name, value})
	}
}

// scanner reads JSON from its front.
type scanner []byte

func (s *scanner) rest() []byte {
	b := *s
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	*s = b
	return b
}

func (s *scanner) punctuation(c byte) bool {
	if b := s.rest(); len(b) > 0 && b[0] == c {
		*s = b[1:]
		return true
	}
	return false
}

// text reads a string in which every byte stands for itself.
func (s *scanner) text() ([]byte, bool) {
	b := s.rest()
	if len(b) == 0 || b[0] != '"' {
		return nil, false
	}
	for i, c := range b[1:] {
		switch {
		case c == '"':
			*s = b[i+2:]
			return b[1 : i+1], true
		case c == '\\' || c < ' ' || c >= 0x80: // what is not ASCII may not be UTF-8
			return nil, false
		}
	}
	return nil, false
}

// appendTime appends Postgres's "2026-11-23 04:22:00.5+00" as "2026-11-23T04:22:00.5Z" (RFC 3339 section 5.6), behind its
// length.
func appendTime(b, pg []byte) ([]byte, error) {
	bare, utc := bytes.CutSuffix(pg, []byte("+00"))
	if !utc || len(bare) < len("2006-01-02 15:04:05") || bare[10] != ' ' {
		return b, fmt.Errorf("time %q is not UTC in ISO style", pg)
	}
	b = binary.AppendVarint(b, int64(len(bare)+1))
	b = append(b, bare[:10]...)
	b = append(b, 'T')
	b = append(b, bare[11:]...)
	return append(b, 'Z'), nil
}

func appendHeader(b, name, value []byte) []byte { return appendNamed(appendBytes(b, name), nil, value) }

func appendNamed(b, name, value []byte) []byte { return appendBytes(append(b, name...), value) }

func appendBytes(b, value []byte) []byte {
	b = binary.AppendVarint(b, int64(len(value)))
	return append(b, value...)
}
