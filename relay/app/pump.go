package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// source is where the pump takes transactions from: a wal.Stream.
type source interface {
	Chunks() <-chan *wal.Chunk
	Release(*wal.Chunk)
	Confirm(outbox.LSN)
}

// sink is where the pump puts them: a publish.Producer.
type sink interface {
	Begin() error
	Add(context.Context, outbox.Row, topic.Source) (bytes int, err error)
	End(context.Context, checkpoint.Record) (checkpoint.Record, error)
	Results() <-chan publish.Result
}

// pump moves transactions from a source to a sink: the one place in which the relay's delivery guarantee is made.
//
// It is not restartable. After an error all that it knows is suspect, the last checkpoint's fate first of all, and the
// relay begins anew with the start protocol (see session).
type pump struct {
	src     source
	sink    sink
	limits  limits
	metrics *metrics

	// ended is the last checkpoint that was given to Kafka, and ending are the batches of which it is not known yet whether they
	// are committed: one at most while the next is filled. I5: what was confirmed <= the last checkpoint that is committed.
	ended   checkpoint.Record
	endedAt time.Time // zero before this pump's first batch
	ending  []ending
	// at is the position behind the last message taken. ended.At <= at, and it becomes ended.At with the batch.
	at checkpoint.Position

	// resume is the split transaction that the checkpoint holds the beginning of, until it has come again.
	resume *checkpoint.Partial

	batch batch
	tx    transaction

	takenAt time.Time // when the last chunk was worked through
	more    bool      // it said that more was to come

	// hole is asked whether to go on where the server begins to leave changes out: what comes behind them must not be published before
	// it is known that it may be. Once an operator has let it, the server says it again at each start that reads the same log.
	hole func(context.Context) error

	idleSince time.Time // when at.End first was ahead of the checkpoint with nothing to publish; zero if it is not
	asked     bool      // the server waits for an acknowledgement
}

// batch is what will be committed next.
type batch struct {
	events, bytes int
	opened        time.Time
	oldest        time.Time // the commit time of its first source transaction
	transactions  int
}

// ending is a batch that is being committed.
type ending struct {
	batch batch
	since time.Time
}

// transaction is the source transaction that messages belong to.
type transaction struct {
	open      bool
	commit    outbox.LSN
	time      time.Time
	rows      int64 // raw rows of it seen, published before or not
	skip      int64 // of them, the first so many are in the topic: it was split
	published bool  // all of it is in the topic
}

func newPump(src source, sink sink, cp checkpoint.Record, l limits, m *metrics) *pump {
	return &pump{src: src, sink: sink, limits: l, metrics: m, ended: cp, at: cp.At, resume: cp.At.Partial}
}

// run pumps until intake ends, then commits what is at hand and returns nil. The work that it has begun goes on under
// ctx, which must end later than intake.
func (p *pump) run(ctx, intake context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(p.untilDue())
		select {
		case chunk := <-p.src.Chunks():
			if err := p.take(ctx, chunk.Messages); err != nil {
				return err
			}
			p.takenAt, p.more = time.Now(), chunk.More
			p.src.Release(chunk)
		case r := <-p.sink.Results():
			if err := p.committed(r); err != nil {
				return err
			}
		case <-timer.C:
		case <-intake.Done():
			return p.finish(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := p.endIf(ctx, p.due()); err != nil {
			return err
		}
	}
}

// finish commits what is at hand.
func (p *pump) finish(ctx context.Context) error {
	if err := p.endIf(ctx, p.batch.events > 0 || p.idleAhead()); err != nil {
		return err
	}
	for len(p.ending) > 0 {
		select {
		case r := <-p.sink.Results():
			if err := p.committed(r); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// take works through a chunk. Limits are looked at within it; whether the stream has run dry, only behind it.
func (p *pump) take(ctx context.Context, chunk []wal.Message) error {
	for i := range chunk {
		m := &chunk[i]
		var err error
		switch m.Kind {
		case wal.Begin:
			err = p.begin(ctx, m)
		case wal.Insert:
			err = p.insert(ctx, m)
		case wal.Commit:
			p.end(m)
		case wal.Idle:
			err = p.idle(m)
		case wal.Hole:
			err = p.hole(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pump) begin(ctx context.Context, m *wal.Message) error {
	full := p.batch.events >= p.limits.softEvents || p.batch.bytes >= p.limits.softBytes
	if err := p.endIf(ctx, full); err != nil {
		return err
	}
	p.tx = transaction{open: true, commit: m.LSN, time: m.Time}
	// Its end LSN is not known yet, so its commit LSN is held against the checkpoint's end LSN, which is the start of
	// whatever came next: below it the transaction is published, at or above it is not. With <= the transaction that
	// follows the checkpoint immediately would be lost.
	p.tx.published = m.LSN < p.ended.At.End
	if p.resume == nil || p.tx.published {
		return nil
	}
	if m.LSN != p.resume.Commit {
		return p.lost(m.LSN)
	}
	p.tx.skip, p.resume = p.resume.Rows, nil
	return nil
}

// lost is the error when the log goes on behind a split transaction without having sent it again.
func (p *pump) lost(lsn outbox.LSN) error {
	return &checkpoint.Refusal{
		Gate: checkpoint.GateLog,
		Found: fmt.Sprintf("transaction %s, of which %d rows are published, did not come again before %s",
			p.resume.Commit, p.resume.Rows, lsn),
		Remedy: "The log is not the checkpoint's. Run: relay recover --reason '...'",
	}
}

func (p *pump) insert(ctx context.Context, m *wal.Message) error {
	if !p.tx.open {
		return fmt.Errorf("row %s outside of a transaction", m.Row.ID)
	}
	index := p.tx.rows
	p.tx.rows++
	if p.tx.published || index < p.tx.skip {
		p.metrics.skippedEvents.Inc()
		return nil
	}
	if p.batch.events == 0 {
		if err := p.sink.Begin(); err != nil {
			return err
		}
		p.batch.opened, p.batch.oldest = time.Now(), p.tx.time
	}
	size, err := p.sink.Add(ctx, m.Row, topic.Source{Commit: p.tx.commit, Committed: p.tx.time, Index: int(index), Last: m.Last})
	if err != nil {
		return err
	}
	crash.At(crash.Produced)
	p.batch.events++
	p.batch.bytes += size
	split := p.batch.events >= p.limits.hardEvents || p.batch.bytes >= p.limits.hardBytes ||
		p.batch.events%1024 == 0 && time.Since(p.batch.opened) >= p.limits.age
	return p.endIf(ctx, split)
}

func (p *pump) end(m *wal.Message) {
	if p.tx.published {
		p.metrics.skippedTransactions.Inc()
	} else if p.tx.rows > p.tx.skip {
		p.batch.transactions++
	}
	if !p.tx.published {
		p.at = checkpoint.Position{End: max(p.at.End, m.LSN)}
	}
	p.tx.open = false
}

// endIf has the batch committed, or the position alone if there is no batch, with a checkpoint that says where it leads.
func (p *pump) endIf(ctx context.Context, due bool) error {
	if !due {
		return nil
	}
	if p.batch.events == 0 {
		crash.At(crash.IdleBefore)
		if err := p.sink.Begin(); err != nil {
			return err
		}
	}
	if p.tx.open && !p.tx.published && p.tx.rows > p.tx.skip {
		p.at.Partial = &checkpoint.Partial{Commit: p.tx.commit, Rows: p.tx.rows}
	}
	next := p.ended
	next.At = p.at
	next.Events += int64(p.batch.events)
	next.WrittenAt = time.Now().UTC()
	p.ending = append(p.ending, ending{p.batch, time.Now()})
	next, err := p.sink.End(ctx, next)
	if err != nil {
		return err
	}
	p.ended, p.endedAt = next, time.Now()
	p.batch, p.asked, p.idleSince = batch{}, false, time.Time{}
	for {
		select {
		case r := <-p.sink.Results(): // looked at here too, because a chunk may be many batches
			if err := p.committed(r); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// committed takes the news that the oldest of ending is committed, or that nothing is known of it nor will be.
func (p *pump) committed(r publish.Result) error {
	if r.Err != nil {
		return r.Err
	}
	crash.At(crash.Committed)
	if r.Checkpoint.At.Partial != nil {
		crash.At(crash.SplitOpen)
	}
	// Only now may Postgres discard its log (I5). Confirmed before the commit, a crash between the two would lose the
	// batch: the server would not send it again, and Kafka would not have it.
	p.src.Confirm(r.Checkpoint.At.End)
	crash.At(crash.Confirmed)
	p.metrics.committed(p.ending[0].batch, time.Since(p.ending[0].since), r.Checkpoint)
	p.ending = slices.Delete(p.ending, 0, 1)
	return nil
}
