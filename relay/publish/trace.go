package publish

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// trace tells the log of each event that was published. It waits for the commit: before it, nothing is. Unless the log
// is at debug, it keeps nothing and costs nothing.
type trace struct {
	log  *slog.Logger
	on   bool
	open []traced // the transaction's events so far
}

type traced struct {
	row    outbox.Row
	commit outbox.LSN // of the source transaction; 0 for a row that was read from the table
	to     *partition
	batch  *sealed // nil until it is sealed; has its offset when the broker has acknowledged it
	place  int64   // in the batch
}

func newTrace(ctx context.Context, log *slog.Logger) trace {
	return trace{log: log, on: log.Enabled(ctx, slog.LevelDebug)}
}

// add keeps an event that was just added to a partition's open batch.
func (t *trace) add(row outbox.Row, commit outbox.LSN, to *partition) {
	if t.on {
		row.AggregateID, row.ID = bytes.Clone(row.AggregateID), bytes.Clone(row.ID)
		row.Version, row.Type = bytes.Clone(row.Version), bytes.Clone(row.Type)
		t.open = append(t.open, traced{row: row, commit: commit, to: to, place: int64(to.open.count) - 1})
	}
}

// sealed notes which batch a partition's events have gone into.
func (t *trace) sealed(b *sealed) {
	for i := range t.open {
		if e := &t.open[i]; e.batch == nil && e.to == b.partition {
			e.batch = b
		}
	}
}

func (t *trace) committed(ctx context.Context) {
	for _, e := range t.open {
		version, _ := strconv.ParseInt(string(e.row.Version), 10, 64) // a bigint, as Postgres writes it
		attrs := []slog.Attr{
			slog.String("order_id", string(e.row.AggregateID)), slog.String("event_id", string(e.row.ID)),
			slog.Int64("version", version), slog.String("event_type", string(e.row.Type)),
			slog.Int("partition", int(e.to.number)), slog.Int64("offset", e.batch.offset+e.place),
		}
		if e.commit > 0 {
			attrs = append(attrs, slog.String("lsn", e.commit.String()))
		}
		t.log.LogAttrs(ctx, slog.LevelDebug, "event published", attrs...)
	}
	clear(t.open) // lets the rows' memory go
	t.open = t.open[:0]
}
