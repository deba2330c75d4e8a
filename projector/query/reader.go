package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// reader reads the read model of a topic.
type reader struct {
	pool  *pgxpool.Pool
	topic string
}

// reflection is what an answer says about itself. Each answer embeds it.
type reflection struct {
	AsOf     asOf      `json:"as_of"`
	Excluded *excluded `json:"excluded,omitempty"`
	Missing  []missing `json:"missing,omitempty"` // of what it was to be read after; only with handling=lenient
}

// blocked reports whether one of the missing does not come by itself.
func (s reflection) blocked() bool {
	return slices.ContainsFunc(s.Missing, func(m missing) bool { return m.Blocked })
}

// asOf is the events that are reflected: of each partition all before its offset, and none behind it.
type asOf struct {
	Position   position    `json:"position"`
	Partitions []partition `json:"partitions"`

	// Lag is the age of the newest event of the partition where that is oldest. What is not reflected yet is younger; there
	// may be nothing such. Nil if it is not known of a partition.
	Lag *float64 `json:"lag_at_most_seconds"`
}

type partition struct {
	Number    int32      `json:"partition"`
	Next      int64      `json:"next_offset"`
	Applied   int64      `json:"applied_events"`  // of those before it
	UpdatedAt time.Time  `json:"updated_at"`      // when that last moved, or its projector was another
	Newest    *time.Time `json:"newest_event_at"` // when the last event before it occurred; nil if not known
}

// excluded is what no sum holds: events that could not be applied, and those that wait behind them.
type excluded struct {
	Events        int64 `json:"events"`
	BlockedOrders int64 `json:"blocked_orders"`
}

// missing is an order that has not reached the version that was asked for.
type missing struct {
	Order   uuid.UUID `json:"order_id"`
	Version int64     `json:"version"` // that was asked for
	Is      int64     `json:"is"`      // that is there, 0 for none
	Blocked bool      `json:"blocked"`
}

// The snapshot is taken by the first statement that reads, so that comes after the lock. A cut-over begins with that lock, too, and
// moves all tables while it has it (see package rebuild): whoever gets it finds the tables of one read model with all that was
// committed to them, and neither waits for the other in the middle.
const (
	beginSnapshot = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`
	lockOffsets   = `LOCK TABLE projection_offsets IN ACCESS SHARE MODE`
)

const selectOffsets = `
SELECT o.part, o.topic_id, o.tableoid, o.next_offset, o.applied_events, o.updated_at, t.at, now()
FROM projection_offsets AS o
LEFT JOIN LATERAL (
  SELECT at
  FROM order_timeline
  WHERE part = o.part
  ORDER BY position DESC
  LIMIT 1
) AS t ON true
WHERE o.topic = $1
ORDER BY o.part`

const selectExcluded = `
SELECT coalesce(sum(events), 0)::bigint, coalesce(sum(blocked_orders), 0)::bigint
FROM excluded_events
WHERE topic = $1`

// snapshot runs what queue adds to the batch, in one snapshot of the database and one round trip, and says what that reflects
// and which of the tokens it lacks. Queue may be called more than once.
func (r reader) snapshot(ctx context.Context, after []token, queue func(*pgx.Batch)) (s reflection, err error) {
	s.Excluded = new(excluded)
	err = r.consistent(ctx, func(b *pgx.Batch) {
		b.Queue(selectOffsets, r.topic).Query(s.AsOf.scan)
		b.Queue(selectExcluded, r.topic).QueryRow(func(row pgx.Row) error {
			return row.Scan(&s.Excluded.Events, &s.Excluded.BlockedOrders)
		})
		if len(after) > 0 {
			b.Queue(selectStandings, orders(after)).Query(func(rows pgx.Rows) error {
				found, err := scanStandings(rows)
				s.Missing = lacking(after, found)
				return err
			})
		}
		queue(b)
	})
	return s, err
}

// consistent runs what queue adds to the batch in one snapshot.
func (r reader) consistent(ctx context.Context, queue func(*pgx.Batch)) (err error) {
	// Whoever hangs up does not cost a connection: a cancelled one is closed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for range tries {
		if err = r.try(ctx, queue); err == nil || !passing(err) {
			break
		}
	}
	return known(err)
}

func (r reader) try(ctx context.Context, queue func(*pgx.Batch)) error {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release() // closes the connection if a transaction is open on it
	b := &pgx.Batch{}
	b.Queue(beginSnapshot)
	b.Queue(lockOffsets)
	queue(b)
	b.Queue("COMMIT")
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// scan reads the rows of selectOffsets.
func (a *asOf) scan(rows pgx.Rows) error {
	*a = asOf{Position: position{applied: make(map[int32]int64)}, Partitions: []partition{}}
	known, lag := true, 0.0
	for rows.Next() {
		var (
			p     partition
			id    uuid.UUID
			table uint32
			now   time.Time
		)
		if err := rows.Scan(&p.Number, &id, &table, &p.Next, &p.Applied, &p.UpdatedAt, &p.Newest, &now); err != nil {
			return err
		}
		if len(a.Partitions) == 0 {
			a.Position.source = sourceOf(id, table)
		}
		a.Position.applied[p.Number] = p.Applied
		a.Partitions = append(a.Partitions, p)
		if p.Newest == nil {
			known = false
		} else {
			lag = max(lag, now.Sub(*p.Newest).Seconds())
		}
	}
	if known && len(a.Partitions) > 0 {
		a.Lag = &lag
	}
	return rows.Err()
}

// tries is how often a read is begun.
const tries = 3

// passing reports whether the database may say otherwise to the same statement in a moment: the connection was from before it
// was started again, or a prepared statement from before a migration.
func passing(err error) bool {
	pg, answered := errors.AsType[*pgconn.PgError](err)
	const featureNotSupported = "0A000" // cached plan must not change result type
	return pgconn.SafeToRetry(err) || (answered && (pg.Code == featureNotSupported))
}

// known tells that the database is not there, or has no room or time, from an error in what it was asked.
func known(err error) error {
	if err == nil {
		return nil
	}
	pg, answered := errors.AsType[*pgconn.PgError](err)
	if answered && pg.SeverityUnlocalized == "ERROR" && len(pg.Code) == 5 {
		switch pg.Code[:2] {
		case "08", "40", "53", "55", "57": // connection, deadlock, resources, locks, statement timeout and shutdown
		default:
			return err
		}
	}
	return fmt.Errorf("%w: %w", errUnavailable, err)
}
