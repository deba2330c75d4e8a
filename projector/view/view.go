// Package view keeps the read model: it claims partitions, and applies their events to the tables of the readmodel
// database.
//
// It promises that a batch changes the read models and the offset that they reflect in one transaction (I8), so that
// every event counts exactly once whatever is killed and whoever else believes that he owns the partition; and that an
// order's versions are applied without a hole (I9). The tables depend on the events alone, never on how they came in
// batches or on the clock (I10).
//
// What cannot be applied is parked, in the same transaction: a dead letter, behind which the later events of its order queue
// while those of other orders go on. Redrive applies them in order when the cause is gone.
//
// It does not know Kafka: it is told what the log's bounds are, and gets events with the offsets they were read at.
package view

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
)

// View is the read model of one topic. It is safe for concurrent use.
type View struct {
	pool       *pgxpool.Pool
	topic      string
	maxBlocked int
	models     map[string]func(events int) model // those that this program knows
}

// New makes the view of a topic over a pool, which Connect should have made: the limits that it sets on sessions are
// what lets a new owner pass one that hangs. A partition in which more than maxBlocked orders had dead letters stops.
func New(pool *pgxpool.Pool, topic string, maxBlocked int) *View {
	return &View{pool: pool, topic: topic, maxBlocked: maxBlocked, models: models}
}

// Event is an event as it was read: decoded, and with its place in the partition.
type Event struct {
	event.Event

	Offset      int64
	LeaderEpoch int32 // of the partition's leader when it was written; -1 if not known
	Data        event.Data
	Raw         Raw // what it was read from

	// Err is why it cannot be read, nil if it can. Order is set if the record's key is one, all else if it is known.
	Err error
}

// Raw gives what an event was read from; asked for only if it is parked.
type Raw interface {
	Record() Record
}

// Record is a record as it came, so that it can be parked and read again by a later version of the program.
type Record struct {
	Key, Value []byte
	Headers    []Header
	At         time.Time // its timestamp
}

// Header is a header of a record. A nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Applied says what became of a batch.
type Applied struct {
	Events     int      // changed the read model
	Duplicates int      // had been applied before; ignored
	Parked     []Parked // became dead letters
}

var (
	// ErrFenced means that the partition is no longer this claim's: nothing was applied, and nothing can be.
	ErrFenced = errors.New("the partition has another owner")

	// ErrTooManyBlocked is wrapped by a *Refusal for an event that would be one dead letter too many.
	ErrTooManyBlocked = errors.New("too many orders have dead letters")

	// ErrTopic is wrapped when the topic is not the one, or no longer holds what, the read model was made from.
	ErrTopic = errors.New("the topic and the read model do not belong together")

	// ErrUnknownModel is wrapped when the tables hold a read model of a newer program.
	ErrUnknownModel = errors.New("the database holds a read model that this program does not know")
)

// Refusal is an event before which the partition stops.
type Refusal struct {
	Offset  int64
	Order   uuid.UUID
	Version int64
	Err     error
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("offset %d, order %s v%d: %v", r.Offset, r.Order, r.Version, r.Err)
}

// Unwrap returns the reason.
func (r *Refusal) Unwrap() error { return r.Err }

// Unstorable reports whether the database said that it cannot hold a value of the batch (SQLSTATE class 22, data exception): a sum
// that overflows, say. Halving the batch leads to the event, which with its Err set is parked.
func Unstorable(err error) bool {
	pg, is := errors.AsType[*pgconn.PgError](err)
	return is && len(pg.Code) == 5 && pg.Code[:2] == "22"
}

// Dropped reports whether the tables are not there (SQLSTATE 42P01): those of a former read model may be dropped at any time.
func Dropped(err error) bool {
	pg, is := errors.AsType[*pgconn.PgError](err)
	return is && pg.Code == "42P01"
}

// Permanent reports whether the database will say the same to the same batch for ever: the data or the schema is wrong.
// All else (connections, locks, resources, a server that stops, a standby that was promoted) passes, and is worth another
// try.
func Permanent(err error) bool {
	if errors.Is(err, errPosition) || errors.Is(err, errStored) {
		return true
	}
	pg, is := errors.AsType[*pgconn.PgError](err)
	if !is || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "22", // data exception: a value that a column cannot hold
		"23", // integrity constraint violation: the timeline has the event already, a CHECK fails
		"42": // undefined table or column, no privilege: migrations or grants are missing
		return true
	}
	return false
}

// micro is the resolution that timestamptz keeps.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
