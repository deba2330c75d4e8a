package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Log is what the broker says about the partitions that are to be claimed.
type Log struct {
	TopicID uuid.UUID
	Bounds  map[int32]Bounds
}

// Bounds are the offsets at which a partition's log begins and ends: Start is its first record, End the next one to come.
type Bounds struct {
	Start, End int64
}

// Partition is a claimed partition. It is used by one goroutine at a time.
type Partition struct {
	view  *View
	part  int32
	epoch int64
	claim uuid.UUID

	// next is the offset that the read model has reached under this claim.
	// I8: next == projection_offsets.next_offset, unless unsettled is set or the claim has been fenced
	next int64

	// leaderEpoch is that of the record before next; -1 if not known.
	leaderEpoch int32

	// models are the read models that the tables hold.
	models []string

	// unsettled is a batch of which it is not known whether it was committed.
	unsettled *unsettled

	// found is what such a batch has applied, after it was found committed and until Apply has told of it.
	found *Applied
}

// Next is the offset of the first record that has not been applied, and the leader epoch of the one before it (-1 if not
// known), by which the broker can tell whether the log was cut in between.
func (p *Partition) Next() (offset int64, leaderEpoch int32) { return p.next, p.leaderEpoch }

// ensure makes the row of a partition that has never been applied. It is called only for logs that still have their
// beginning, and what another owner has made meanwhile stays.
const ensure = `
INSERT INTO projection_offsets (topic, part, topic_id, claim, owner)
SELECT $1, part, $2, $3, $4
FROM unnest($5::integer[]) AS part
ORDER BY part
ON CONFLICT DO NOTHING`

// hold waits for the batches in flight of the partitions' former owners: they hold the same rows. In a statement of its
// own, so that take reads what they have committed.
const hold = `
SELECT part
FROM projection_offsets
WHERE topic = $1
  AND part = ANY($2)
ORDER BY part
FOR UPDATE`

const take = `
UPDATE projection_offsets
SET owner_epoch = owner_epoch + 1,
    claim = $3,
    owner = $4,
    updated_at = now()
WHERE topic = $1
  AND part = ANY($2)
RETURNING part, topic_id, next_offset, leader_epoch, owner_epoch`

// Claim makes owner the owner of all partitions of log, in one transaction, and says where each goes on. From the moment
// it commits, no batch of a former owner can be applied (I8); it waits for one that is in flight.
//
// A partition that must not be consumed is in refused, with the reason and the remedy: its log is not the one that the
// read model was made from, or does not hold the next record any more, or the tables hold a read model that this program does
// not know. It is claimed all the same, so that nobody applies anything to it. Every other error is about the whole claim,
// which may be tried again.
func (v *View) Claim(ctx context.Context, owner string, log Log) (claimed map[int32]*Partition, refused map[int32]error, err error) {
	parts := slices.Sorted(maps.Keys(log.Bounds))
	fresh := make([]int32, 0, len(parts)) // may begin at 0
	for _, part := range parts {
		if log.Bounds[part].Start == 0 {
			fresh = append(fresh, part)
		}
	}
	token := uuid.New()
	var (
		rows  []*row
		names []string
	)
	err = pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(ensure, v.topic, log.TopicID, token, owner, fresh)
		b.Queue(hold, v.topic, parts)
		b.Queue(take, v.topic, parts, token, owner).Query(func(r pgx.Rows) (err error) {
			rows, err = pgx.CollectRows(r, pgx.RowToAddrOfStructByPos[row])
			return err
		})
		b.Queue(selectModels).Query(func(r pgx.Rows) (err error) { // behind the lock, as all else: a swap takes them in that order
			names, err = pgx.CollectRows(r, pgx.RowTo[string])
			return err
		})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("claim partitions %v: %w", parts, err)
	}
	unknown := v.known(names)
	claimed, refused = make(map[int32]*Partition), make(map[int32]error)
	for _, part := range parts {
		i := slices.IndexFunc(rows, func(r *row) bool { return r.Part == part })
		if unknown != nil {
			refused[part] = unknown
		} else if i < 0 {
			refused[part] = missing(log.Bounds[part])
		} else if err := rows[i].check(log); err != nil {
			refused[part] = err
		} else {
			r := rows[i]
			claimed[part] = &Partition{view: v, part: part, epoch: r.Epoch, claim: token, next: r.Next, leaderEpoch: r.LeaderEpoch, models: names}
		}
	}
	return claimed, refused, nil
}

type row struct {
	Part        int32
	TopicID     uuid.UUID
	Next        int64
	LeaderEpoch int32
	Epoch       int64
}

// startAnew is the remedy when the log and the read model have parted for good.
const startAnew = "make it anew: projector rebuild --overtake, with --from-outbox if the topic no longer holds all events"

func missing(b Bounds) error {
	return fmt.Errorf("%w: the read model has no position for it and its log begins at offset %d, so that events are missing; %s",
		ErrTopic, b.Start, startAnew)
}

// check compares the row with the log. Each difference would otherwise skip events or apply others in silence.
func (r *row) check(log Log) error {
	b := log.Bounds[r.Part]
	switch {
	case r.TopicID != log.TopicID:
		return fmt.Errorf("%w: the read model was made from topic id %s, the broker's is %s: it was deleted and made again; %s",
			ErrTopic, r.TopicID, log.TopicID, startAnew)
	case r.Next < b.Start:
		return fmt.Errorf("%w: the next record is offset %d and the log begins at %d: records were deleted before they were applied; %s",
			ErrTopic, r.Next, b.Start, startAnew)
	case r.Next > b.End:
		return fmt.Errorf("%w: the next record is offset %d and the log ends at %d: the broker has lost records that were applied; %s",
			ErrTopic, r.Next, b.End, startAnew)
	}
	return nil
}

const look = `
SELECT owner_epoch, claim, next_offset
FROM projection_offsets
WHERE topic = $1
  AND part = $2
FOR UPDATE`

// unsettled is a batch whose transaction ended without an answer.
type unsettled struct {
	to          int64
	leaderEpoch int32
	applied     Applied
}

var errPosition = errors.New("the position changed under a live claim: something other than a projector writes projection_offsets")

// settle finds out, on a new connection, whether the unsettled batch was committed. It waits for the row's lock: the old
// connection's server process may still be at its commit, and a plain read would call that "not committed". A position that
// went back, or is not there, is of an older backup that was put in the database's place: it has to be claimed there.
func (p *Partition) settle(ctx context.Context) error {
	var (
		epoch, next int64
		claim       uuid.UUID
	)
	err := p.view.pool.QueryRow(ctx, look, p.view.topic, p.part).Scan(&epoch, &claim, &next)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look up partition %d after a broken batch: %w", p.part, err)
	}
	if err != nil || epoch != p.epoch || claim != p.claim || next < p.next {
		return ErrFenced
	}
	u := p.unsettled
	switch next {
	case u.to:
		found := p.told(u.applied)
		p.next, p.leaderEpoch, p.unsettled, p.found = u.to, u.leaderEpoch, nil, &found
		return nil
	case p.next:
		p.unsettled = nil
		return nil
	}
	return fmt.Errorf("partition %d at offset %d, want %d or %d: %w", p.part, next, p.next, u.to, errPosition)
}

const lookOwner = `
SELECT owner = 'cut over'
FROM projection_offsets
WHERE topic = $1
  AND part = $2`

// CutOver reports whether the partition was fenced because another read model was made live in the place of this one. It has no owner
// then, and the group need not be asked before it is claimed again.
func (p *Partition) CutOver(ctx context.Context) (cut bool, err error) {
	err = p.view.pool.QueryRow(ctx, lookOwner, p.view.topic, p.part).Scan(&cut)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // none in an older backup
		return false, fmt.Errorf("look up partition %d after it was fenced: %w", p.part, err)
	}
	return cut, nil
}
