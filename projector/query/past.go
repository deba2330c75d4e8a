package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// entry is an event of an order.
type entry struct {
	Version int64           `json:"version"`
	ID      uuid.UUID       `json:"event_id"`
	Type    event.Type      `json:"type"`
	At      time.Time       `json:"at"`
	Data    json.RawMessage `json:"data"`      // null if it was read before payloads were kept; so are the next two
	Part    *int32          `json:"partition"` // of the topic
	Offset  *int64          `json:"offset"`    // null, too, if the topic had lost it
}

func scanEntry(row pgx.CollectableRow) (e entry, err error) {
	var data *string
	err = row.Scan(&e.Version, &e.ID, &e.Type, &e.At, &data, &e.Part, &e.Offset)
	if data != nil {
		e.Data = json.RawMessage(*data)
	}
	return e, err
}

const selectTimeline = `
SELECT version, event_id, type, at, data::text, part, CASE WHEN record_offset >= 0 THEN record_offset END
FROM order_timeline
WHERE order_id = $1
  AND version > $2
ORDER BY version
LIMIT $3`

// timeline serves GET /v1/orders/{id}/timeline.
func (a *API) timeline(ctx context.Context, r *request) (answer, error) {
	id, err := orderOf(r.Request)
	if err != nil {
		return answer{}, err
	}
	after, err := r.number("after", 0, math.MaxInt64, 0)
	if err != nil {
		return answer{}, err
	}
	limit, err := r.number("limit", 1, longestPage, usualPage)
	if err != nil {
		return answer{}, err
	}
	o := row{id: id}
	body := struct {
		ID      uuid.UUID `json:"id"`
		Version int64     `json:"version"`
		Events  []entry   `json:"events"`
		Blocked *blocked  `json:"blocked,omitempty"`
		reflection
	}{ID: id}
	body.reflection, err = a.read(ctx, r, func(b *pgx.Batch) {
		o.queue(b)
		b.Queue(selectTimeline, id, after, limit+1).Query(many(&body.Events, scanEntry))
	})
	switch {
	case err != nil:
		return answer{}, err
	case o.order == nil:
		return answer{}, o.absent(body.reflection)
	}
	body.Version, body.Blocked, body.Excluded = o.order.Version, o.order.Blocked, nil
	next := ""
	if int64(len(body.Events)) > limit {
		body.Events = body.Events[:limit]
		next = r.nextPage("after", strconv.FormatInt(body.Events[limit-1].Version, 10))
	}
	return answer{body: body, next: next, version: token{id, body.Version}.String()}, nil
}

// The newest version that had happened by a time, and those before it: an order's clock may have been put back between two
// events, and no version may be left out.
const selectPast = `
SELECT version, event_id, type, at, data::text, part, CASE WHEN record_offset >= 0 THEN record_offset END
FROM order_timeline
WHERE order_id = $1
  AND version <= least($2, (SELECT coalesce(max(version), 0) FROM order_timeline WHERE order_id = $1 AND at <= $3))
ORDER BY version`

// pastAnswer is the body of an answer about an order as it was.
type pastAnswer struct {
	order
	reflection

	Newest int64 `json:"newest_version"` // that has been read
}

// past serves GET /v1/orders/{id} with at or at_version: the order as it was then, by the projector's own fold.
func (a *API) past(ctx context.Context, r *request, id uuid.UUID) (answer, error) {
	version, err := r.number("at_version", 1, math.MaxInt64, math.MaxInt64)
	if err != nil {
		return answer{}, err
	}
	at, timed, err := r.time("at")
	if err != nil {
		return answer{}, err
	}
	if timed && r.has("at_version") {
		return answer{}, refused("query", "at", "one_of", "give at or at_version")
	}
	if !timed {
		at = newest.at
	}
	var entries []entry
	o := row{id: id}
	s, err := a.read(ctx, r, func(b *pgx.Batch) {
		o.queue(b)
		b.Queue(selectPast, id, version, at).Query(many(&entries, scanEntry))
	})
	s.Excluded = nil
	switch {
	case err != nil:
		return answer{}, err
	case o.order == nil:
		return answer{}, o.absent(s)
	case len(entries) == 0:
		return answer{}, &problem{kind: notFound, detail: "the order was placed at " + o.order.PlacedAt.Format(time.RFC3339Nano), asOf: &s.AsOf}
	case !timed && version > o.order.Version:
		return answer{}, &problem{kind: notFound, detail: fmt.Sprintf("the order is at version %d", o.order.Version), asOf: &s.AsOf}
	}
	then, err := replay(id, entries)
	if err != nil {
		return answer{}, err
	}
	then.Blocked = o.order.Blocked
	return answer{body: pastAnswer{then, s, o.order.Version}, version: token{id, then.Version}.String()}, nil
}

// replay folds the events of an order into its state after them.
func replay(id uuid.UUID, entries []entry) (order, error) {
	events := make([]view.Event, len(entries))
	for i, e := range entries {
		if e.Data == nil {
			return order{}, &problem{kind: noHistory, detail: fmt.Sprintf("of version %d only the type and the time are kept: run projector rebuild", e.Version)}
		}
		events[i].Event = event.Event{ID: e.ID, Order: id, Version: e.Version, At: e.At, Type: e.Type, Payload: e.Data}
		data, err := events[i].Event.Data()
		if err != nil {
			return order{}, fmt.Errorf("order %s v%d: %w", id, e.Version, err)
		}
		events[i].Data = data
	}
	o, err := view.Replay(events)
	if err != nil {
		return order{}, fmt.Errorf("replay order %s: %w", id, err)
	}
	if int64(len(entries)) != o.Version {
		return order{}, errors.New("replay order " + id.String() + ": its timeline has a hole")
	}
	then := order{
		ID: id, Customer: o.Customer, Service: o.Service, Fulfilment: o.Fulfilment, Payment: o.Payment, Version: o.Version,
		Lines: json.RawMessage(o.Lines), Rating: o.Rating, PlacedAt: o.PlacedAt, UpdatedAt: o.UpdatedAt,
		Total: event.Money{Minor: o.Total}, Captured: event.Money{Minor: o.Captured}, Refunded: event.Money{Minor: o.Refunded}, Tip: event.Money{Minor: o.Tip},
	}
	then.in(o.Currency)
	return then, nil
}
