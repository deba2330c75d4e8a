package spans

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
)

// Parent is the span that an event was made in.
type Parent struct {
	Trace [16]byte
	Span  [8]byte
	Flags byte // trace-flags
}

// header is the header of a record, and of a request before, that carries it (W3C Trace Context, section 3.2).
const header = "traceparent"

// Of returns the parent that a record's headers name, in the form that they have within a record batch: a count, then names and
// values behind their lengths. It returns false if there is none, or if its trace is not recorded (the flag sampled): then no span
// of it is wanted.
func Of(headers []byte) (p Parent, sampled bool) {
	if !bytes.Contains(headers, []byte(header)) {
		return p, false
	}
	count, headers, ok := varint(headers)
	for ; ok && count > 0; count-- {
		var name, value []byte
		if name, headers, ok = text(headers); !ok {
			break
		}
		if value, headers, ok = text(headers); ok && string(name) == header {
			return parse(value)
		}
	}
	return p, false
}

// text reads what stands behind its length, which is -1 for null.
func text(b []byte) (value, rest []byte, ok bool) {
	n, rest, ok := varint(b)
	if !ok || n > int64(len(rest)) {
		return nil, nil, false
	}
	n = max(0, n)
	return rest[:n], rest[n:], true
}

func varint(b []byte) (n int64, rest []byte, ok bool) {
	n, size := binary.Varint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

// parse reads version-trace-span-flags. A version that is not known may have more behind it.
func parse(value []byte) (p Parent, sampled bool) {
	const length = 55
	if len(value) < length || value[2] != '-' || value[35] != '-' || value[52] != '-' || string(value[:2]) == "ff" {
		return p, false
	}
	if len(value) > length && (string(value[:2]) == "00" || value[length] != '-') {
		return p, false
	}
	var version, flags [1]byte
	for _, part := range []struct{ to, from []byte }{
		{version[:], value[:2]}, {p.Trace[:], value[3:35]}, {p.Span[:], value[36:52]}, {flags[:], value[53:55]},
	} {
		if bytes.ContainsAny(part.from, "ABCDEF") {
			return Parent{}, false
		}
		if _, err := hex.Decode(part.to, part.from); err != nil {
			return Parent{}, false
		}
	}
	const flagSampled = 1
	if p.Trace == [16]byte{} || p.Span == [8]byte{} || flags[0]&flagSampled == 0 {
		return Parent{}, false
	}
	p.Flags = flags[0]
	return p, true
}
