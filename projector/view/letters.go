package view

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// Reason is why an event became a dead letter.
type Reason string

// The reasons.
const (
	Undecodable Reason = "undecodable"  // the record is no event of this pipeline, or a damaged one
	UnknownType Reason = "unknown_type" // an event of a newer program
	Hole        Reason = "hole"         // a version of the order is missing before it
	Behind      Reason = "behind"       // the same, but the order has a letter before it
	Rule        Reason = "rule"         // no state of an order can take it
)

// Parked is an event that became a dead letter.
type Parked struct {
	Order   uuid.UUID // Nil if the record's key is none
	Version int64     // 0 if it is not known
	Offset  int64
	Reason  Reason
	Err     error
}

var errHole = errors.New("a version is missing")

func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, event.ErrUnknownType):
		return UnknownType
	case Unstorable(err):
		return Rule
	}
	return Undecodable
}

// letter is a dead letter that a batch makes.
type letter struct {
	*Event

	record Record
	reason Reason
	err    error
}

// park makes a letter of the event.
func (f *fold) park(e *Event, reason Reason, err error) {
	f.letters = append(f.letters, letter{e, e.Raw.Record(), reason, err})
}

// queueing are those of some orders that have a waiting letter.
const queueing = `
SELECT DISTINCT order_id
FROM dead_letters
WHERE state = 'waiting'
  AND topic = $1
  AND part = $2
  AND order_id = ANY($3::uuid[])`

// placeLetters tells which letters have others of their order before them, and refuses the event that would block one order more than
// may be. Without a limit a fault of all events, such as a topic of another history, would go by as so many faults of single orders,
// and the partition would look as if it went on.
func (p *Partition) placeLetters(ctx context.Context, conn *pgxpool.Conn, f *fold) error {
	if len(f.letters) == 0 {
		return nil
	}
	var (
		n      map[int32]int
		queued []uuid.UUID
		orders = column(f.letters, func(l letter) uuid.UUID { return l.Order })
		b      = &pgx.Batch{}
	)
	b.Queue(countBlocked, p.view.topic).Query(func(rows pgx.Rows) (err error) {
		n, err = scanBlocked(rows)
		return err
	})
	b.Queue(queueing, p.view.topic, p.part, orders).Query(func(rows pgx.Rows) (err error) {
		queued, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("partition %d: look at dead letters: %w", p.part, err)
	}
	for i := range f.letters {
		l := &f.letters[i]
		switch {
		case !slices.Contains(queued, l.Order):
			if n[p.part]++; n[p.part] > p.view.maxBlocked {
				return p.refuse(l)
			}
			if l.Order != uuid.Nil {
				queued = append(queued, l.Order)
			}
		case l.reason == Hole:
			l.reason = Behind
		}
		f.applied.Parked = append(f.applied.Parked, Parked{Order: l.Order, Version: l.Version, Offset: l.Offset, Reason: l.reason, Err: l.err})
	}
	return nil
}

func (p *Partition) refuse(l *letter) *Refusal {
	return &Refusal{
		Offset: l.Offset, Order: l.Order, Version: l.Version,
		Err: fmt.Errorf("%w, %d: %w", ErrTooManyBlocked, p.view.maxBlocked, l.err),
	}
}

const insertLetters = `
INSERT INTO dead_letters (topic, part, record_offset, order_id, version, reason, error, key, value, headers, recorded_at)
SELECT $1, $2, record_offset, order_id, version, reason, error, key, value, headers, recorded_at
FROM unnest($3::bigint[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::jsonb[], $11::timestamptz[])
       AS l (record_offset, order_id, version, reason, error, key, value, headers, recorded_at)`

func (v *View) queueLetters(b *pgx.Batch, part int32, letters []letter) {
	if len(letters) == 0 {
		return
	}
	b.Queue(insertLetters, v.topic, part,
		column(letters, func(l letter) int64 { return l.Offset }),
		column(letters, func(l letter) pgtype.UUID { return pgtype.UUID{Bytes: l.Order, Valid: l.Order != uuid.Nil} }),
		column(letters, func(l letter) pgtype.Int8 { return pgtype.Int8{Int64: l.Version, Valid: l.Version > 0} }),
		column(letters, func(l letter) string { return string(l.reason) }),
		column(letters, func(l letter) string { return printable(l.err) }),
		column(letters, func(l letter) []byte { return l.record.Key }),
		column(letters, func(l letter) []byte { return l.record.Value }),
		column(letters, func(l letter) string { return encodeHeaders(l.record.Headers) }),
		column(letters, func(l letter) time.Time { return micro(l.record.At) }),
	)
}

// printable is an error as a text column takes it: it may quote the record.
func printable(err error) string {
	const limit = 2000
	text := err.Error()
	text = text[:min(len(text), limit)]
	return strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "?")
}
