package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	schema "github.com/adamkwhite/kafkafoodpipeline/sql"
)

// downstream compares orders table and read model with the fold of the events.
func (a *audit) downstream(ctx context.Context) error {
	if a.cfg.ReadModelURL == "" {
		return a.upstream(ctx, nil)
	}
	conn, err := open(ctx, a.cfg.ReadModelURL, schema.ReadModel)
	if err != nil {
		a.undecided("read model's database: %v", err)
		return a.upstream(ctx, nil)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	reader, err := a.openModel(ctx, conn)
	if err != nil {
		return fmt.Errorf("read model: %w", err)
	}
	if err := a.upstream(ctx, reader); err != nil {
		return err
	}
	return reader.finish(ctx, a.topic, &a.report.ReadModel)
}

// upstream reads what has come into topic and outbox since, and compares; reader is nil if there is no read model to
// compare.
func (a *audit) upstream(ctx context.Context, reader *model) error {
	// Again to the end: the snapshot of the read model may reflect what was not there at the first reading.
	if err := a.readOn(ctx); err != nil {
		return err
	}
	a.cfg.Log.DebugContext(ctx, "topic read again", "records", a.report.Topic.Records)
	return a.compare(ctx, reader)
}

// openModel waits until the read model reflects the cut, and takes its snapshot. If it does not get there in time the
// snapshot is judged all the same, at the offsets that it has.
func (a *audit) openModel(ctx context.Context, conn *pgx.Conn) (*model, error) {
	for {
		offsets, err := modelOffsets(ctx, conn, a.cfg.Topic, len(a.topic.next))
		if err != nil {
			return nil, err
		}
		part := a.behind(offsets)
		if part < 0 || a.list.total > 0 { // a pipeline that broke its promise may never get there
			break
		}
		if !time.Now().Before(a.deadline) {
			a.undecided("the read model does not reflect the cut yet, partition %d is at offset %d of %d: is the projector running? "+
				"It says why not at /readyz?verbose. Wait longer with --timeout", part, offsets[part].next, a.judge.cutEnds[part])
			break
		}
		if err := ops.Sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	tx, err := snapshot(ctx, conn)
	if err != nil {
		return nil, err
	}
	offsets, err := modelOffsets(ctx, tx, a.cfg.Topic, len(a.topic.next))
	if err != nil {
		return nil, err
	}
	return openModel(ctx, tx, a.cfg.Topic, a.events, offsets, a.list)
}

// behind returns a partition of which the read model does not reflect all of the cut, or -1.
func (a *audit) behind(offsets []modelOffset) int {
	for part, end := range a.judge.cutEnds {
		if offsets[part].next < end {
			return part
		}
	}
	return -1
}

// compare folds the events in a snapshot of their own, younger than everything that is compared with them.
func (a *audit) compare(ctx context.Context, reader *model) error {
	tx, err := snapshot(ctx, a.source)
	if err != nil {
		return fmt.Errorf("orders database: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	f := &fold{model: reader, list: a.list}
	if err := f.walk(ctx, tx, &a.report.Orders, &a.report.Customers); err != nil {
		return fmt.Errorf("compare with the fold of the events: %w", err)
	}
	a.report.Source.Orders = f.walked
	return nil
}
