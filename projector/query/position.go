package query

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// position is how much has been read of what was applied: of each partition the number of its events, those that were dead
// letters for a while counted when they were applied at last. It is written as "0:123,1:45,2:99@6f1f4c5e.40a3". What is behind
// the @ is the source, since the numbers of another one mean something else.
//
// It is a value; nothing writes to a map that another one may have.
type position struct {
	source  source
	applied map[int32]int64 // by partition; one that is not there is at 0
}

// source is what the numbers of a position count: the applied events of a topic, by its id, in the order in which these tables got
// them. It is empty before anything has been.
type source string

// sourceOf is the source of the rows of projection_offsets in the table of this oid, which it keeps through cut-overs.
func sourceOf(topicID uuid.UUID, table uint32) source {
	return source(fmt.Sprintf("%x.%x", topicID[:4], table))
}

// String returns the position as answers and streams have it.
func (p position) String() string {
	var b strings.Builder
	for i, part := range slices.Sorted(maps.Keys(p.applied)) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%d", part, p.applied[part])
	}
	return b.String() + "@" + string(p.source)
}

// MarshalText implements encoding.TextMarshaler.
func (p position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// mostPartitions bounds what a client can make us keep.
const mostPartitions = 1024

var sourceShape = regexp.MustCompile(`^([0-9a-f]{8}\.[0-9a-f]{1,8})?$`)

// parsePosition reads what String writes.
func parsePosition(s string) (p position, ok bool) {
	parts, of, found := strings.Cut(s, "@")
	if !found || !sourceShape.MatchString(of) {
		return position{}, false
	}
	p = position{source(of), make(map[int32]int64)}
	if parts == "" {
		return p, true
	}
	for field := range strings.SplitSeq(parts, ",") {
		number, count, found := strings.Cut(field, ":")
		part, partOK := decimal(number)
		applied, appliedOK := decimal(count)
		if !found || !partOK || !appliedOK || part >= mostPartitions {
			return position{}, false
		}
		if _, twice := p.applied[int32(part)]; twice {
			return position{}, false
		}
		p.applied[int32(part)] = applied
	}
	return p, true
}

// counts reports whether the position's numbers are those of end, which was read later. One from before anything was applied is
// the beginning of all.
func (p position) counts(end position) bool { return p.source == "" || p.source == end.source }

// advanced is the position with at least so many events of a partition.
func (p position) advanced(part int32, applied int64) position {
	q := position{p.source, maps.Clone(p.applied)}
	if q.applied == nil {
		q.applied = make(map[int32]int64, 1)
	}
	q.applied[part] = max(q.applied[part], applied)
	return q
}

// joined is the farther of two positions of one source, by partition.
func (p position) joined(q position) position {
	for part, applied := range q.applied {
		if applied > p.applied[part] {
			p = p.advanced(part, applied)
		}
	}
	if p.source == "" {
		p.source = q.source
	}
	return p
}

func (p position) equal(q position) bool {
	return p.source == q.source && maps.Equal(p.applied, q.applied)
}

// covers reports whether no partition of q, which is of the same source, is farther.
func (p position) covers(q position) bool {
	for part, applied := range q.applied {
		if p.applied[part] < applied {
			return false
		}
	}
	return true
}
