package view

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// minutes keeps revenue_minute: orders and money, by the minute in which it happened.
type minutes map[minuteKey]*tally

type minuteKey struct {
	minute   time.Time
	currency string
}

func newMinutes(int) model { return minutes{} }

func (s minutes) add(_, o *order, e *Event) error {
	t, counts := tallyOf(e)
	if !counts || t.completed > 0 { // of which there is no column
		return nil
	}
	entry(s, minuteKey{bucket(o.UpdatedAt, time.Minute), o.Currency}).add(t)
	return nil
}

const addMinutes = `
INSERT INTO revenue_minute_shard AS s (minute, currency, part, orders, gross_minor, refunded_minor, tips_minor, cancelled)
SELECT minute, currency, $1, orders, gross, refunded, tips, cancelled
FROM unnest($2::timestamptz[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
       AS d (minute, currency, orders, gross, refunded, tips, cancelled)
ON CONFLICT (minute, currency, part) DO UPDATE
SET orders = s.orders + excluded.orders,
    gross_minor = s.gross_minor + excluded.gross_minor,
    refunded_minor = s.refunded_minor + excluded.refunded_minor,
    tips_minor = s.tips_minor + excluded.tips_minor,
    cancelled = s.cancelled + excluded.cancelled`

func (s minutes) write(b *pgx.Batch, c *changes) error {
	if len(s) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(s), func(a, b minuteKey) int {
		return cmp.Or(a.minute.Compare(b.minute), cmp.Compare(a.currency, b.currency))
	})
	deltas := column(keys, func(k minuteKey) *tally { return s[k] })
	b.Queue(addMinutes, c.part,
		column(keys, func(k minuteKey) time.Time { return k.minute }),
		column(keys, func(k minuteKey) string { return k.currency }),
		column(deltas, func(d *tally) int64 { return d.orders }),
		column(deltas, func(d *tally) int64 { return d.captured }),
		column(deltas, func(d *tally) int64 { return d.refunded }),
		column(deltas, func(d *tally) int64 { return d.tips }),
		column(deltas, func(d *tally) int64 { return d.cancelled }),
	)
	return nil
}
