package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/orderservice/order"
)

// model is one snapshot of the read model. Its own offsets say which events it reflects, all those below them and no
// other (I8), so it can be judged exactly at any moment, also while it is being written.
type model struct {
	tx      pgx.Tx
	events  *events
	offsets []modelOffset // by partition
	applied int64
	letters *letters

	summaries *cursor[summaryRow]
	timeline  *cursor[timelineRow]
	board     *cursor[boardRow]
	sums      *sums
	list      *findings
	tables    []*Table
}

// modelOffset is a row of projection_offsets; its zero value stands for a row that is not there.
type modelOffset struct {
	known               bool
	topicID             uuid.UUID
	next                int64
	applied, duplicates int64
}

const selectOffsets = `
SELECT part, topic_id, next_offset, applied_events, duplicate_events
FROM projection_offsets
WHERE topic = $1`

func modelOffsets(ctx context.Context, db querier, topic string, partitions int) ([]modelOffset, error) {
	list := make([]modelOffset, partitions)
	var (
		part int
		o    = modelOffset{known: true}
	)
	rows, _ := db.Query(ctx, selectOffsets, topic) //nolint:rowserrcheck // ForEachRow checks it
	_, err := pgx.ForEachRow(rows, []any{&part, &o.topicID, &o.next, &o.applied, &o.duplicates}, func() error {
		if part >= partitions {
			return fmt.Errorf("projection_offsets has partition %d, the topic has %d partitions", part, partitions)
		}
		list[part] = o
		return nil
	})
	return list, err
}

// openModel starts to read the read model in the snapshot of tx.
func openModel(ctx context.Context, tx pgx.Tx, topic string, found *events, offsets []modelOffset, list *findings) (*model, error) {
	m := &model{tx: tx, events: found, offsets: offsets, sums: newSums(), list: list}
	table := func(name string) *Table {
		t := &Table{Name: name}
		m.tables = append(m.tables, t)
		return t
	}
	var err error
	if m.letters, err = openLetters(ctx, tx, topic); err != nil {
		return nil, err
	}
	if m.summaries, err = openCursor(ctx, tx, table("order_summary"), selectSummaries, scanSummary); err != nil {
		return nil, err
	}
	if m.timeline, err = openCursor(ctx, tx, table("order_timeline"), selectTimeline, scanTimeline); err != nil {
		return nil, err
	}
	if m.board, err = openCursor(ctx, tx, table("kitchen_board"), selectBoard, scanBoard); err != nil {
		return nil, err
	}
	return m, nil
}

// reflects reports whether the read model says that it reflects the event: the topic has it below the offset, and it is no dead
// letter.
func (m *model) reflects(id uuid.UUID) bool {
	number, known := m.events.find(id)
	if !known || m.events.places[number] == nowhere {
		return false
	}
	p := m.events.places[number]
	_, letter := m.letters.why[p]
	return !letter && p.offset() < m.offsets[p.partition()].next
}

// event compares the timeline's row of an event that is reflected.
func (m *model) event(ctx context.Context, e event.Event) error {
	m.applied++
	row, err := m.timeline.take(ctx, key{e.Order, e.Version}, m.orphanEvent)
	if err != nil {
		return err
	}
	if row == nil {
		m.wrong(m.timeline.table, Offender{Event: e.ID, Order: e.Order, Version: e.Version, Detail: "row is missing"})
		return nil
	}
	if d := row.differs(e); len(d) > 0 {
		m.wrong(m.timeline.table, Offender{Event: e.ID, Order: e.Order, Version: e.Version, Detail: d.String()})
	}
	return nil
}

// order compares the rows of an order with what its reflected events come to; seen is zero if there are none.
func (m *model) order(ctx context.Context, id uuid.UUID, seen order.Order, since time.Time) error {
	summary, err := m.summaries.take(ctx, key{order: id}, m.orphanSummary)
	if err != nil {
		return err
	}
	switch {
	case summary == nil && seen.Version > 0:
		m.wrong(m.summaries.table, Offender{Order: id, Version: seen.Version, Detail: "row is missing"})
	case summary != nil && seen.Version == 0:
		m.orphanSummary(*summary)
	case summary != nil:
		if d := summary.differs(seen); len(d) > 0 {
			m.wrong(m.summaries.table, Offender{Order: id, Version: summary.version, Detail: d.String()})
		}
	}
	return m.kitchen(ctx, id, seen, since)
}

func (m *model) kitchen(ctx context.Context, id uuid.UUID, seen order.Order, since time.Time) error {
	row, err := m.board.take(ctx, key{order: id}, m.orphanBoard)
	if err != nil {
		return err
	}
	switch {
	case row == nil && inKitchen(seen):
		m.wrong(m.board.table, Offender{Order: id, Version: seen.Version, Detail: "row is missing, the order is " + string(seen.Fulfilment)})
	case row != nil && !inKitchen(seen):
		m.orphanBoard(*row)
	case row != nil:
		if d := row.differs(seen, since); len(d) > 0 {
			m.wrong(m.board.table, Offender{Order: id, Version: seen.Version, Detail: d.String()})
		}
	}
	return nil
}

func (m *model) drain(ctx context.Context) error {
	if err := m.summaries.drain(ctx, m.orphanSummary); err != nil {
		return err
	}
	if err := m.timeline.drain(ctx, m.orphanEvent); err != nil {
		return err
	}
	return m.board.drain(ctx, m.orphanBoard)
}

const unaccounted = "no event below the read model's offset accounts for this row"

func (m *model) orphanSummary(r summaryRow) {
	m.wrong(m.summaries.table, Offender{Order: r.id, Version: r.version, Detail: unaccounted})
}

func (m *model) orphanEvent(r timelineRow) {
	m.wrong(m.timeline.table, Offender{Event: r.event, Order: r.order, Version: r.version, Detail: unaccounted})
}

func (m *model) orphanBoard(r boardRow) {
	m.wrong(m.board.table, Offender{Order: r.order, Detail: "the order is not in the kitchen"})
}

func (m *model) wrong(table *Table, o Offender) {
	table.Wrong++
	o.Kind, o.Table = WrongReadModel, table.Name
	m.list.add(o)
}

// finish judges the sums and the offsets themselves, once all events have been walked.
func (m *model) finish(ctx context.Context, topic *reader, report *ReadModel) error {
	for _, t := range m.tables {
		report.Tables = append(report.Tables, *t)
	}
	if err := m.sums.compare(ctx, m.tx, report, m.list); err != nil {
		return err
	}
	report.Tables = append(report.Tables, m.positions(topic))
	if m.letters.table.Rows > 0 {
		report.Tables = append(report.Tables, m.letters.table)
	}
	report.Checked, report.Applied = true, m.applied
	for _, p := range m.events.places {
		if p != nowhere {
			report.Pending++
		}
	}
	report.Pending -= m.applied
	return nil
}

// positions compares projection_offsets with the topic: the same topic, not beyond its end, and as many events counted
// as there are below the offset and no dead letters, none of them twice.
func (m *model) positions(topic *reader) Table {
	table := Table{Name: "projection_offsets"}
	below := make([]int64, len(m.offsets))
	for _, p := range m.events.places {
		if _, letter := m.letters.why[p]; p != nowhere && !letter && p.offset() < m.offsets[p.partition()].next {
			below[p.partition()]++
		}
	}
	for part, o := range m.offsets {
		if !o.known {
			continue // nothing has been applied, and the other tables were compared on that ground
		}
		table.Rows++
		var d differences
		field(&d, "topic_id", o.topicID, topic.id)
		if o.next > topic.next[part] {
			d = append(d, fmt.Sprintf("next_offset is %d, the log ends at %d", o.next, topic.next[part]))
		}
		field(&d, "applied_events", o.applied, below[part])
		field(&d, "duplicate_events", o.duplicates, 0)
		if len(d) > 0 {
			m.wrong(&table, Offender{Partition: new(int32(part)), Detail: d.String()})
		}
	}
	return table
}
