package topic

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// Schemas has what stands in front of the payload of each type of event, when a schema registry has their schemas: Confluent's
// wire format, a zero byte and the schema's id in four bytes. For JSON the payload follows as it is. Nil is for no registry.
type Schemas map[string][]byte

// prefixSize is how long that is.
const prefixSize = 5

// ErrNoSchema is wrapped by the error of Schemas.Prefix. Passing the event over would be a loss, and without its schema no reader that
// relies on the registry could read it.
var ErrNoSchema = errors.New("the schema registry was given no schema of the event's type")

// NewSchemas makes them of the ids under which a registry has the schemas of types.
func NewSchemas(ids map[string]uint32) Schemas {
	s := make(Schemas, len(ids))
	for kind, id := range ids {
		s[kind] = binary.BigEndian.AppendUint32([]byte{0}, id)
	}
	return s
}

// Prefix returns what stands in front of a row's payload: nothing where there is no registry. It allocates nothing.
func (s Schemas) Prefix(row outbox.Row) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	prefix, known := s[string(kind(row))]
	if !known {
		return nil, fmt.Errorf("%w: event %s has type %q", ErrNoSchema, row.ID, kind(row))
	}
	return prefix, nil
}

// Payload returns the payload in a record's value, whether or not a schema's id stands in front of it: a topic may have both, from before
// a registry was used and after, and JSON never begins with a zero byte.
func Payload(value []byte) []byte {
	_, payload, _ := Split(value)
	return payload
}

// Split is Payload, with the id of the schema if there is one.
func Split(value []byte) (id uint32, payload []byte, registered bool) {
	if len(value) < prefixSize || value[0] != 0 {
		return 0, value, false
	}
	return binary.BigEndian.Uint32(value[1:]), value[prefixSize:], true
}
