package publish

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

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
	commit outbox.LSN  // of the source transaction; 0 for a row that was read from the table
	record *kgo.Record // has its offset when the client has flushed it
}

func newTrace(ctx context.Context, log *slog.Logger) trace {
	return trace{log: log, on: log.Enabled(ctx, slog.LevelDebug)}
}

func (t *trace) add(row outbox.Row, commit outbox.LSN, r *kgo.Record) {
	if t.on {
		t.open = append(t.open, traced{row, commit, r})
	}
}

func (t *trace) committed(ctx context.Context) {
	for _, e := range t.open {
		version, _ := strconv.ParseInt(string(e.row.Version), 10, 64) // a bigint, as Postgres writes it
		attrs := []slog.Attr{
			slog.String("order_id", string(e.row.AggregateID)), slog.String("event_id", string(e.row.ID)),
			slog.Int64("version", version), slog.String("event_type", string(e.row.Type)),
			slog.Int("partition", int(e.record.Partition)), slog.Int64("offset", e.record.Offset),
		}
		if e.commit > 0 {
			attrs = append(attrs, slog.String("lsn", e.commit.String()))
		}
		t.log.LogAttrs(ctx, slog.LevelDebug, "event published", attrs...)
	}
	clear(t.open) // lets the rows' memory go
	t.open = t.open[:0]
}
