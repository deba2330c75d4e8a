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

// traced is an event that the log will be told of when it is committed, or the collector of its trace: before, it is not
// published. Unless the log is at debug or there is a collector, nothing is kept and it costs nothing.
type traced struct {
	row    outbox.Row
	parent spans.Parent // of its span; zero for none
	taken  time.Time
	commit outbox.LSN // of the source transaction; 0 for a row that was read from the table
	to     *partition
	batch  *sealed // nil until it is sealed; has its offset when the broker has acknowledged it
	place  int64   // in the batch
}

// follow keeps an event that was just added to a partition's open batch with p.headers, if anybody wants to be told of it.
func (p *Producer) follow(row outbox.Row, commit outbox.LSN, to *partition) {
	var parent spans.Parent
	if p.config.Spans != nil {
		parent, _ = spans.Of(p.headers)
	}
	if p.tracing || parent != (spans.Parent{}) {
		p.tx.keep(row, commit, to, parent)
	}
}

func (t *transaction) keep(row outbox.Row, commit outbox.LSN, to *partition, parent spans.Parent) {
	row = outbox.Row{
		AggregateID: bytes.Clone(row.AggregateID), ID: bytes.Clone(row.ID), Version: bytes.Clone(row.Version), Type: bytes.Clone(row.Type),
	}
	t.trace = append(t.trace, traced{
		row: row, parent: parent, taken: time.Now(), commit: commit, to: to, place: int64(to.open.count) - 1,
	})
}

// sealed notes which batch a partition's events have gone into.
func (t *transaction) sealed(b *sealed) {
	for i := range t.trace {
		if e := &t.trace[i]; e.batch == nil && e.to == b.partition {
			e.batch = b
		}
	}
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
	version, _ := strconv.ParseInt(string(e.row.Version), 10, 64) // a bigint, as Postgres writes it
	attrs := []slog.Attr{
		slog.String("order_id", string(e.row.AggregateID)), slog.String("event_id", string(e.row.ID)),
		slog.Int64("version", version), slog.String("event_type", string(e.row.Type)),
		slog.String("topic", e.to.topic), slog.Int("partition", int(e.to.number)), slog.Int64("offset", e.batch.offset+e.place),
	}
	if e.commit > 0 {
		attrs = append(attrs, slog.String("lsn", e.commit.String()))
	}
	log.LogAttrs(ctx, slog.LevelDebug, "event published", attrs...)
}

func (e traced) span() spans.Span {
	span := spans.Span{
		Parent: e.parent, Topic: e.to.topic, Partition: e.to.number, Offset: e.batch.offset + e.place,
		Event: string(e.row.ID), Key: string(e.row.AggregateID), Start: e.taken, End: time.Now(),
	}
	binary.NativeEndian.PutUint64(span.ID[:], 1+rand.Uint64N(math.MaxUint64)) // never zero, which is none
	return span
}
