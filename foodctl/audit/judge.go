package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// judge compares the topic's records, one after another, with the events of the source.
type judge struct {
	db     querier
	events *events
	cut    int // events below this number are in the cut
	orders history
	torn   transactions

	arrived int         // events of the cut that the topic has shown
	extra   []uuid.UUID // not in the outbox when last looked for
	marks   []int64     // by partition: records from here on do not count for last
	last    []place     // by partition: the last unique event below the mark
	cutEnds []int64     // by partition: the offset behind the last event of the cut
	grace   time.Duration

	report *Report
	list   *findings
	odd    map[uuid.UUID]topic.Message // the mismatches that are listed, until explain
}

// lateness is how long, in all, the audit waits for an event that is in the topic and not in the outbox: Postgres sends a
// commit to the relay before other sessions see it, by an instant or, with a synchronous standby, longer.
const lateness = 500 * time.Millisecond

func newJudge(db querier, found *events, partitions int, report *Report, list *findings) *judge {
	j := &judge{
		db: db, events: found, cut: len(found.ids), orders: history{numbers: newNumbers(len(found.ids) / 8)},
		torn:  transactions{open: make(map[commit]*transaction)},
		marks: make([]int64, partitions), last: make([]place, partitions), cutEnds: make([]int64, partitions),
		grace: lateness, report: report, list: list, odd: make(map[uuid.UUID]topic.Message),
	}
	report.Topic.Partitions = make([]Partition, partitions)
	for p := range partitions {
		j.marks[p] = unmarked
		report.Topic.Partitions[p].Partition = int32(p)
	}
	return j
}

// records judges what was read together. It first looks up, at once, the events that the outbox did not have at the cut.
func (j *judge) records(ctx context.Context, records []*kgo.Record) error {
	messages := make([]topic.Message, len(records))
	broken := make([]error, len(records))
	var unknown []uuid.UUID
	for i, rec := range records {
		messages[i], broken[i] = topic.Parse(rec)
		if _, known := j.events.find(messages[i].ID); !known && broken[i] == nil {
			unknown = append(unknown, messages[i].ID)
		}
	}
	if err := j.meet(ctx, unknown); err != nil {
		return err
	}
	for i, rec := range records {
		j.report.Topic.Records++
		j.report.Topic.Partitions[rec.Partition].Records++
		if broken[i] != nil {
			j.malformed(rec, broken[i])
			continue
		}
		j.record(rec, messages[i])
	}
	return nil
}

// meet learns the events from the outbox, each look a snapshot that is later than the record. Events that stay unknown
// are judged as extra.
func (j *judge) meet(ctx context.Context, ids []uuid.UUID) error {
	for len(ids) > 0 {
		if err := lookup(ctx, j.db, ids, j.events.add); err != nil {
			return fmt.Errorf("look for events that were committed after the cut: %w", err)
		}
		unknown := ids[:0]
		for _, id := range ids {
			if _, known := j.events.find(id); !known {
				unknown = append(unknown, id)
			}
		}
		if ids = unknown; len(ids) == 0 || j.grace <= 0 {
			return nil
		}
		const pause = 50 * time.Millisecond
		j.grace -= pause
		if err := ops.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// record judges one record. A record that is no event, or an event once more, says nothing about order.
func (j *judge) record(rec *kgo.Record, m topic.Message) {
	number, known := j.events.find(m.ID)
	if !known {
		j.report.Counts.Extra++
		j.extra = append(j.extra, m.ID)
		j.list.add(offender(Extra, rec, m.Event, "no row of the outbox has this event: "+describe(m.Event)))
		return
	}
	if first := j.events.places[number]; first != nowhere {
		j.report.Counts.Duplicates++
		j.list.add(offender(Duplicate, rec, m.Event,
			fmt.Sprintf("the event is at partition %d offset %d already", first.partition(), first.offset())))
		return
	}
	j.arrive(number, rec)
	if printOf(j, m) != j.events.prints[number] {
		j.report.Counts.Mismatched++
		if j.list.add(offender(Mismatched, rec, m.Event, differs)) {
			j.odd[m.ID] = m
		}
		return
	}
	j.inOrder(rec, m)
	j.torn.add(number, number < j.cut, m.Source)
}

// differs is the detail of a mismatch until explain has looked at the row.
const differs = "differs from its outbox row"

func printOf(j *judge, m topic.Message) uint64 {
	return fingerprint(j.events.seed, &row{
		seq: m.Seq, id: m.ID, order: m.Order, kind: m.Type, version: m.Version,
		payload: m.Payload, micros: m.At.UnixMicro(),
	}, m.Headers)
}

func (j *judge) arrive(number int, rec *kgo.Record) {
	j.events.places[number] = at(rec.Partition, rec.Offset)
	j.report.Topic.Unique++
	if rec.Offset < j.marks[rec.Partition] {
		j.last[rec.Partition] = j.events.places[number]
	}
	if number >= j.cut {
		j.report.Topic.BeyondCut++
		return
	}
	j.arrived++
	j.cutEnds[rec.Partition] = rec.Offset + 1
}

// inOrder compares the record with what came before it of its order. A version that is skipped is no offence yet: it is
// missing, or it is the one that arrives late.
func (j *judge) inOrder(rec *kgo.Record, m topic.Message) {
	step := j.orders.of(m.Order)
	switch {
	case step.scattered: // counted, and between partitions there is no order to judge
	case step.version != 0 && step.partition != int16(rec.Partition):
		step.scattered = true
		j.report.Counts.OutOfOrder++
		j.list.add(offender(OutOfOrder, rec, m.Event,
			fmt.Sprintf("version %d of this order is in partition %d", step.version, step.partition)))
	case int32(m.Version) < step.version:
		j.report.Counts.OutOfOrder++
		j.list.add(offender(OutOfOrder, rec, m.Event, fmt.Sprintf("comes after version %d", step.version)))
	default:
		step.version, step.partition = int32(m.Version), int16(rec.Partition)
	}
}

// malformed judges a record that is not the shape of an event. If it has a known event's id, that event has arrived.
func (j *judge) malformed(rec *kgo.Record, err error) {
	j.report.Counts.Mismatched++
	e := event.Event{}
	for _, h := range rec.Headers {
		if h.Key == "ce_id" {
			e.ID, _ = uuid.ParseBytes(h.Value)
		}
	}
	if number, known := j.events.find(e.ID); known && j.events.places[number] == nowhere {
		j.arrive(number, rec)
	}
	j.list.add(offender(Mismatched, rec, e, err.Error()))
}

// unseen lists the events of the cut that have not arrived, the first of them.
func (j *judge) unseen(limit int) []uuid.UUID {
	var ids []uuid.UUID
	for number := range j.cut {
		if len(ids) == limit {
			break
		}
		if j.events.places[number] == nowhere {
			ids = append(ids, j.events.ids[number])
		}
	}
	return ids
}

// pardon looks once more, in a snapshot later than all records, for the events that seemed to be extra.
func (j *judge) pardon(ctx context.Context) error {
	for len(j.extra) > 0 {
		chunk := j.extra[:min(len(j.extra), 10_000)]
		j.extra = j.extra[len(chunk):]
		err := lookup(ctx, j.db, chunk, func(r *row) error {
			if _, known := j.events.find(r.id); !known {
				j.report.Counts.Extra--
				j.report.Topic.Unique++
				j.report.Topic.BeyondCut++
				j.list.remove(Extra, r.id)
			}
			return j.events.add(r)
		})
		if err != nil {
			return fmt.Errorf("look for extra events in the outbox: %w", err)
		}
	}
	return nil
}

// explain names, for the mismatches that are listed, what differs.
func (j *judge) explain(ctx context.Context) error {
	rows, err := entries(ctx, j.db, slices.Collect(maps.Keys(j.odd)))
	if err != nil {
		return fmt.Errorf("look up rows that records differ from: %w", err)
	}
	for id, m := range j.odd {
		if r, has := rows[id]; has {
			j.list.detail(Mismatched, id, difference(m, r.Event, r.Seq).String())
		}
	}
	return nil
}

// missing lists the first events of the cut that have not arrived, and returns how many there are.
func (j *judge) missing(ctx context.Context) (int64, error) {
	ids := j.unseen(j.list.limit)
	rows, err := entries(ctx, j.db, ids)
	if err != nil {
		return 0, fmt.Errorf("look up missing events: %w", err)
	}
	for _, id := range ids {
		e := rows[id]
		j.list.add(Offender{
			Kind: Missing, Event: id, Order: e.Order, Version: e.Version,
			Detail: fmt.Sprintf("outbox row %d, %s, is not in the topic", e.Seq, e.Type),
		})
	}
	total := int64(j.cut - j.arrived)
	j.list.total += total - int64(len(ids))
	return total, nil
}

// incomplete lists the source transactions that the topic tears apart, and returns how many could not be judged. It may
// be asked only when all of the cut has arrived: a snapshot has all of a transaction or nothing, so that each one with an
// event in the cut must be whole. Where events were loaded out of the table, the rest of a transaction may be among them.
func (j *judge) incomplete() (unclear int) {
	for name, tx := range j.torn.open {
		if !tx.inCut {
			continue
		}
		if j.torn.loaded > 0 {
			unclear++
			continue
		}
		j.report.Counts.Torn++
		p := j.events.places[tx.number]
		j.list.add(Offender{
			Kind: Torn, Partition: new(p.partition()), Offset: new(p.offset()), Event: j.events.ids[tx.number],
			Detail: fmt.Sprintf("of the transaction committed at %s, %s", name.lsn, tx),
		})
	}
	return unclear
}
