package view

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// timeline keeps order_timeline: each event once more, and where it is.
type timeline struct{ rows []timelineRow }

type timelineRow struct {
	order    uuid.UUID
	version  int64
	event    uuid.UUID
	kind     event.Type
	at       time.Time
	offset   int64
	position int64 // place in the batch, from 0
	data     []byte
}

func newTimeline(events int) model { return &timeline{make([]timelineRow, 0, events)} }

func (t *timeline) add(_, after *order, e *Event) error {
	t.rows = append(t.rows, timelineRow{
		order: e.Order, version: e.Version, event: e.ID, kind: e.Type, at: after.UpdatedAt,
		offset: e.Offset, position: int64(len(t.rows)), data: e.Payload,
	})
	return nil
}

// No ON CONFLICT: an event that is there already would be one applied twice, and has to fail.
const insertTimeline = `
INSERT INTO order_timeline (order_id, version, event_id, type, at, part, record_offset, position, data)
SELECT order_id, version, event_id, type, at, $1, record_offset, $2 + position, data
FROM unnest($3::json[], $4::uuid[], $5::bigint[], $6::uuid[], $7::text[], $8::timestamptz[], $9::bigint[], $10::bigint[])
       AS r (data, order_id, version, event_id, type, at, record_offset, position)`

func (t *timeline) write(b *pgx.Batch, c *changes) error {
	if c.copied {
		return nil
	}
	rows := t.sorted()
	b.Queue(insertTimeline, c.part, c.first,
		column(rows, func(r *timelineRow) []byte { return r.data }), // most of it first: pgx's buffer then grows once
		column(rows, func(r *timelineRow) uuid.UUID { return r.order }),
		column(rows, func(r *timelineRow) int64 { return r.version }),
		column(rows, func(r *timelineRow) uuid.UUID { return r.event }),
		column(rows, func(r *timelineRow) string { return string(r.kind) }),
		column(rows, func(r *timelineRow) time.Time { return r.at }),
		column(rows, func(r *timelineRow) int64 { return r.offset }),
		column(rows, func(r *timelineRow) int64 { return r.position }),
	)
	return nil
}

func (t *timeline) copy(c *changes) (table string, columns []string, rows pgx.CopyFromSource) {
	columns = []string{"order_id", "version", "event_id", "type", "at", "part", "record_offset", "position", "data"}
	sorted := t.sorted()
	return "order_timeline", columns, pgx.CopyFromSlice(len(sorted), func(i int) ([]any, error) {
		r := sorted[i]
		return []any{
			pgUUID(r.order), r.version, pgUUID(r.event), string(r.kind), r.at, c.part, r.offset, c.first + r.position, r.data,
		}, nil
	})
}

func (t *timeline) sorted() []*timelineRow {
	rows := make([]*timelineRow, len(t.rows))
	for i := range t.rows {
		rows[i] = &t.rows[i]
	}
	slices.SortFunc(rows, func(a, b *timelineRow) int {
		return cmp.Or(bytes.Compare(a.order[:], b.order[:]), cmp.Compare(a.position, b.position))
	})
	return rows
}
