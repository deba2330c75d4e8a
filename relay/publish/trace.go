package publish

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// traced is an event that the log will be told of when it is committed: before, it is not published. Unless the log is at
// debug, nothing is kept and it costs nothing.
type traced struct {
	row    outbox.Row
	commit outbox.LSN // of the source transaction; 0 for a row that was read from the table
	to     *partition
	batch  *sealed // nil until it is sealed; has its offset when the broker has acknowledged it
	place  int64   // in the batch
}

// keep keeps an event that was just added to a partition's open batch.
func (t *transaction) keep(row outbox.Row, commit outbox.LSN, to *partition) {
	row = outbox.Row{
		AggregateID: bytes.Clone(row.AggregateID), ID: bytes.Clone(row.ID), Version: bytes.Clone(row.Version), Type: bytes.Clone(row.Type),
	}
	t.trace = append(t.trace, traced{row: row, commit: commit, to: to, place: int64(to.open.count) - 1})
}

// sealed notes which batch a partition's events have gone into.
func (t *transaction) sealed(b *sealed) {
	for i := range t.trace {
		if e := &t.trace[i]; e.batch == nil && e.to == b.partition {
			e.batch = b
		}
	}
}

// tell tells the log of events that are committed.
func tell(ctx context.Context, log *slog.Logger, events []traced) {
	for _, e := range events {
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
}
