package query

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// change is an event that was applied, without its payload: it says what to read again.
type change struct {
	Order    uuid.UUID  `json:"order_id"`
	Customer int32      `json:"customer_id"`
	Version  int64      `json:"version"`
	Event    uuid.UUID  `json:"event_id"`
	Type     event.Type `json:"type"`
	At       time.Time  `json:"at"`
	Part     int32      `json:"partition"`
	Offset   *int64     `json:"offset"` // null if the topic had lost it

	Position int64 `json:"-"` // of the partition, with it
}

// subject is whose changes are followed: an order's or a customer's.
type subject struct {
	order    uuid.UUID // Nil for a customer's
	customer int32
}

// stretch is how many events of each partition are looked through at once.
const stretch = 2000

// A stretch of each partition from a position on, up to where the read model has come. What is before applied_events is all there
// (I8). It is read by its index, at a cost that does not grow with the table: the limit, which cuts nothing off, keeps the planner
// from joining all of the timeline with the two or three rows of the partitions. What happened to customers, and to no order of theirs, is
// left out: it changes nothing that there is to read.
const selectChanges = `
SELECT t.order_id, t.customer_id, t.version, t.event_id, t.type, t.at, t.part, CASE WHEN t.record_offset >= 0 THEN t.record_offset END,
       t.position
FROM projection_offsets AS o
LEFT JOIN unnest($2::integer[], $3::bigint[]) AS f (part, applied) ON f.part = o.part
CROSS JOIN LATERAL (
  SELECT order_id, version, event_id, type, at, part, record_offset, position,
         (SELECT s.customer_id FROM order_summary AS s WHERE s.order_id = order_timeline.order_id)
  FROM order_timeline
  WHERE part = o.part
    AND position > coalesce(f.applied, 0)
    AND position <= least(o.applied_events, coalesce(f.applied, 0) + $4)
  ORDER BY position
  LIMIT $4
) AS t
WHERE o.topic = $1
  AND t.customer_id IS NOT NULL`

// An order's few events are found by its id.
const selectChangesOfOrder = `
SELECT t.order_id, s.customer_id, t.version, t.event_id, t.type, t.at, t.part, CASE WHEN t.record_offset >= 0 THEN t.record_offset END,
       t.position
FROM order_timeline AS t
JOIN order_summary AS s ON s.order_id = t.order_id
JOIN projection_offsets AS o ON o.topic = $1 AND o.part = t.part
LEFT JOIN unnest($2::integer[], $3::bigint[]) AS f (part, applied) ON f.part = t.part
WHERE t.order_id = $4
  AND t.position > coalesce(f.applied, 0)
ORDER BY t.part, t.position`

const (
	selectChangesOfAll      = selectChanges + byPosition
	selectChangesOfCustomer = selectChanges + `
  AND t.customer_id = $5` + byPosition
	byPosition = `
ORDER BY t.part, t.position`
)

const selectEnd = `
SELECT part, topic_id, tableoid, applied_events
FROM projection_offsets
WHERE topic = $1
ORDER BY part`

// page is the changes between two positions.
type page struct {
	changes []change // by partition and position
	reached position // all changes before it, from where the page begins, are in it
	end     position // how far the read model has come
}

// last reports whether there was nothing behind the page.
func (p page) last() bool { return p.reached.covers(p.end) }

// changesOf reads the changes of a subject, the zero one is everybody, in a stretch from a position on.
func (r reader) changesOf(ctx context.Context, s subject, from position) (p page, err error) {
	var parts []int32
	var applied []int64
	for part, n := range from.applied {
		parts, applied = append(parts, part), append(applied, n)
	}
	statement, arguments := selectChangesOfAll, []any{r.topic, parts, applied, int64(stretch)}
	switch {
	case s.order != uuid.Nil:
		statement, arguments[3] = selectChangesOfOrder, s.order
	case s.customer != 0:
		statement, arguments = selectChangesOfCustomer, append(arguments, s.customer)
	}
	err = r.consistent(ctx, func(b *pgx.Batch) {
		b.Queue(selectEnd, r.topic).Query(p.end.scan)
		b.Queue(statement, arguments...).Query(many(&p.changes, pgx.RowToStructByPos[change]))
	})
	p.reached = from
	for part, n := range p.end.applied {
		if s.order == uuid.Nil {
			n = min(n, from.applied[part]+stretch)
		}
		p.reached = p.reached.advanced(part, n)
	}
	p.reached.source = p.end.source
	return p, err
}

// scan reads the rows of selectEnd.
func (p *position) scan(rows pgx.Rows) error {
	*p = position{applied: make(map[int32]int64)}
	for rows.Next() {
		var (
			part    int32
			id      uuid.UUID
			table   uint32
			applied int64
		)
		if err := rows.Scan(&part, &id, &table, &applied); err != nil {
			return err
		}
		if p.applied[part] = applied; p.source == "" {
			p.source = sourceOf(id, table)
		}
	}
	return rows.Err()
}
