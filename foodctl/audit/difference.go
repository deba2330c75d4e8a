package audit

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// differences says where something is not what it must be: "version is 3, must be 4".
type differences []string

// field notes a difference of one field.
func field[T comparable](d *differences, name string, got, must T) {
	if got != must {
		*d = append(*d, fmt.Sprintf("%s is %v, must be %v", name, shown(got), shown(must)))
	}
}

// moment is field for times, which are equal in any zone.
func moment(d *differences, name string, got, must time.Time) {
	if !got.Equal(must) {
		field(d, name, got.UTC(), must.UTC())
	}
}

func shown(v any) any {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	default:
		return v
	}
}

func (d differences) String() string { return strings.Join(d, ", ") }

// difference names what a record has otherwise than its outbox row. Payloads are not shown: they may be long, and what is
// in them is nobody's business but the order's.
func difference(got topic.Message, must event.Event, seq int64) differences {
	var d differences
	field(&d, "order", got.Order, must.Order)
	field(&d, "version", got.Version, must.Version)
	field(&d, "type", string(got.Type), string(must.Type))
	field(&d, "outbox_seq", got.Seq, seq)
	moment(&d, "time", got.At, must.At)
	if string(got.Payload) != string(must.Payload) {
		d = append(d, fmt.Sprintf("payload of %d bytes differs from the row's %d bytes", len(got.Payload), len(must.Payload)))
	}
	if !maps.Equal(got.Headers, must.Headers) {
		d = append(d, "the event's own headers differ")
	}
	return d
}
