package publish

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/spans"
)

// traced is an event of which somebody is told when it is committed, and not before, since it is not published then: the log, if it
// is at debug, or the collector of its trace. Of all others nothing is kept.
type traced struct {
	id, key, version, kind []byte
	tombstone              bool
	parent                 spans.Parent // of its span; zero for none
	taken                  time.Time
	commit                 outbox.LSN // of the source transaction; 0 for a row that was read from the table
	batch                  *sealed    // nil until it is sealed; has its offset when the broker has acknowledged it
	place                  int64      // in the batch
}

// follow keeps an event that was just added to a partition's open batch with p.headers, if anybody wants to be told of it.
func (p *Producer) follow(row outbox.Row, tombstone bool, commit outbox.LSN, to *partition) {
	var parent spans.Parent
	if p.config.Spans != nil {
		parent, _ = spans.Of(p.headers)
	}
	if !p.tracing && parent == (spans.Parent{}) {
		return
	}
	to.followed = append(to.followed, traced{
		id: bytes.Clone(row.ID), key: bytes.Clone(row.AggregateID), version: bytes.Clone(row.Version), kind: bytes.Clone(row.Type),
		tombstone: tombstone, parent: parent, taken: time.Now(), commit: commit, place: int64(to.open.count) - 1,
	})
}

// sealed takes over what was followed into a batch.
func (t *transaction) sealed(b *sealed) {
	for _, e := range b.partition.followed {
		e.batch = b
		t.trace = append(t.trace, e)
	}
	b.partition.followed = b.partition.followed[:0]
}

// tell tells of events that are committed.
func (s *sender) tell(ctx context.Context, events []traced) {
	debug := len(events) > 0 && s.log.Enabled(ctx, slog.LevelDebug)
	for _, e := range events {
		if debug {
			e.log(ctx, s.log)
		}
		if e.parent != (spans.Parent{}) {
			s.spans(e.span())
		}
	}
}

func (e traced) log(ctx context.Context, log *slog.Logger) {
	version, _ := strconv.ParseInt(string(e.version), 10, 64) // a bigint, as Postgres writes it
	attrs := []slog.Attr{
		slog.String("order_id", string(e.key)), slog.String("event_id", string(e.id)),
		slog.Int64("version", version), slog.String("event_type", string(e.kind)),
		slog.String("topic", e.batch.partition.topic), slog.Int("partition", int(e.batch.partition.number)), slog.Int64("offset", e.batch.offset+e.place),
	}
	if e.commit > 0 {
		attrs = append(attrs, slog.String("lsn", e.commit.String()))
	}
	log.LogAttrs(ctx, slog.LevelDebug, "event published", attrs...)
}

func (e traced) span() spans.Span {
	span := spans.Span{
		Parent: e.parent, Topic: e.batch.partition.topic, Partition: e.batch.partition.number, Offset: e.batch.offset + e.place,
		Event: string(e.id), Key: string(e.key), Tombstone: e.tombstone,
		Start: e.taken, End: e.taken.Add(time.Since(e.taken)), // by the clock that never goes back
	}
	binary.NativeEndian.PutUint64(span.ID[:], 1+rand.Uint64N(math.MaxUint64)) // never zero, which is none
	return span
}
