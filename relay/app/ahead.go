package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// errAgain ends a session whose slot has been read and must be read again. The next one begins at once.
var errAgain = errors.New("loaded; the slot is read from its beginning now")

// ahead are the transactions that a slot would send, in order, up to where the log ended, and which of their events the
// topics have. It takes some 100 bytes for each event.
type ahead struct {
	from, end    outbox.LSN
	transactions []coming
	topics       map[string]string // that the events go to
	published    map[[16]byte]bool // by eventKey: every event of the transactions, and whether it is there
	cut          map[string]bool   // topics of which records were deleted
	twice        string            // an event that came twice
}

type coming struct {
	commit, end outbox.LSN
	at          time.Time
	events      []sent
}

type sent struct {
	key   [16]byte
	topic string
}

// goOn is the load of an outbox that is not ours, where its slot is there. That slot's log may be the only place that has a row
// which was deleted from the table, so the slot is not made anew. Instead it is found out what it would send: of the rest, the
// table's rows are published that the topics lack; of that, the topics have the first so many events, and behind them the relay
// begins.
//
// The order is the proof. The table is seen as it was before the log is read to its end, so whatever it has and the slot would
// not send was committed before the slot's beginning. The other way round, a row that came in between would be published
// twice: out of the table and from the slot. It takes a publication that has been there all along.
func (s *session) goOn(ctx context.Context, was checkpoint.Record, reason string) error {
	if before := was.Source.Publication; before != "" && before != s.print && before != s.formerPrint {
		return &checkpoint.Refusal{
			Gate: checkpoint.GatePublication,
			Found: fmt.Sprintf("the publication's fingerprint is %s, the checkpoint is of %s: slot %s will not send what was written in between",
				s.print, before, s.config.Slot),
			Remedy: "Only the table can have it: SELECT pg_drop_replication_slot('" + s.config.Slot + "'), and with relay.order.by run: relay recover --reason '...'",
		}
	}
	if s.layout.Fresh {
		return s.goOnWith(ctx, nil, reason)
	}
	return s.withTable(ctx, func(ctx context.Context, table *backlog.Reader) error { return s.goOnWith(ctx, table, reason) })
}

func (s *session) goOnWith(ctx context.Context, table *backlog.Reader, reason string) error {
	h, err := s.readAhead(ctx)
	if err != nil {
		return err
	}
	if err := s.found(ctx, maps.Keys(h.topics)); err != nil {
		return err
	}
	var published eventSet
	if table != nil {
		published = make(eventSet)
		if err := s.route(ctx, table); err != nil {
			return err
		}
	}
	if err := s.noHanging(ctx); err != nil {
		return err
	}
	records, err := s.lookFor(ctx, h, published)
	if err != nil {
		return err
	}
	at, _, err := s.begins(h)
	if err != nil {
		return err
	}
	if table != nil {
		for key := range h.published { // the slot will send them
			published[key] = struct{}{}
		}
		if records, err = s.fillBeside(ctx, table, published, records, reason); err != nil {
			return err
		}
	}
	return s.begun(ctx, checkpoint.Record{Phase: checkpoint.Streaming, At: at, Events: records, Reason: reason})
}

// fillBeside is fill, announced, and returns how many records there are then. A checkpoint that says where to stream from is
// overwritten only when it is known that there is something to do, and that it can be done.
func (s *session) fillBeside(ctx context.Context, table *backlog.Reader, published eventSet, records int64, reason string) (int64, error) {
	lacks, err := s.fillable(ctx, table, published)
	if err != nil || !lacks {
		return records, err
	}
	if err := s.announce(ctx, reason); err != nil {
		return records, err
	}
	err = s.fill(ctx, table, published)
	return records + s.cp.Events, err
}

// readAhead reads from the slot up to where the log ends now, and acknowledges nothing.
func (s *session) readAhead(ctx context.Context) (*ahead, error) {
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	if err != nil {
		return nil, err
	}
	until, err := logEnd(ctx, s.database)
	if err != nil {
		return nil, err
	}
	h := &ahead{
		from: slot.Confirmed, end: slot.Confirmed,
		topics: make(map[string]string), published: make(map[[16]byte]bool), cut: make(map[string]bool),
	}
	for h.end < until {
		select {
		case chunk := <-s.slot.Chunks():
			for i := range chunk.Messages {
				s.note(h, &chunk.Messages[i])
			}
			s.slot.Release(chunk)
		case <-s.slot.done:
			return nil, s.slot.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if said := s.slot.Skipped(); said != "" {
		return nil, s.hole(said)
	}
	if h.twice != "" {
		return nil, &checkpoint.Refusal{
			Gate:   checkpoint.GateTail,
			Found:  fmt.Sprintf("two rows that slot %s would send have the same id and topic, %s: which of them is published cannot be known", s.config.Slot, h.twice),
			Remedy: "SELECT pg_drop_replication_slot('" + s.config.Slot + "'), and begin anew: relay recover --reason '...' publishes what the table has",
		}
	}
	return h, nil
}

// logEnd is a position behind every commit that was visible when it was asked. Behind the header of a page that has nothing else
// yet is the page's beginning (wal_block_size is 8 KB but for servers that somebody has built).
func logEnd(ctx context.Context, conn interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
},
) (outbox.LSN, error) {
	const page, shortHeader, longHeader = 8192, 24, 40
	var end outbox.LSN
	err := conn.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&end)
	if into := end % page; into == shortHeader || into == longHeader {
		end -= into
	}
	return end, err
}

func (s *session) note(h *ahead, m *wal.Message) {
	switch m.Kind {
	case wal.Begin:
		h.transactions = append(h.transactions, coming{commit: m.LSN, at: m.Time})
	case wal.Insert:
		name := s.topicOf(m.Row)
		if _, known := h.topics[name]; !known {
			h.topics[name] = name
		}
		e := sent{eventKey(name, m.Row.ID), h.topics[name]}
		if _, there := h.published[e.key]; there {
			h.twice = name + " " + string(m.Row.ID)
		}
		h.published[e.key] = false
		tx := &h.transactions[len(h.transactions)-1]
		tx.events = append(tx.events, e)
	case wal.Commit:
		h.transactions[len(h.transactions)-1].end = m.LSN
		h.end = max(h.end, m.LSN)
	case wal.Idle:
		h.end = max(h.end, m.LSN)
	case wal.Hole: // which readAhead refuses
	}
}

// lookFor looks for the events in their topics, and counts the records there. It adds all of them to published, unless that
// is nil.
func (s *session) lookFor(ctx context.Context, h *ahead, published eventSet) (records int64, err error) {
	for _, name := range s.names() {
		err := s.eachRecord(ctx, s.topics[name], published != nil && s.layout.Order != "", func(e recorded) error {
			records++
			if published != nil {
				published[e.key] = struct{}{}
			}
			if _, asked := h.published[e.key]; !asked {
				return nil
			}
			h.published[e.key] = true
			return s.placed(e)
		})
		if err != nil {
			return 0, err
		}
		if h.cut[name], err = s.isCut(ctx, name); err != nil {
			return 0, err
		}
	}
	return records, nil
}

// isCut says whether records were deleted from the beginning of a topic.
func (s *session) isCut(ctx context.Context, name string) (bool, error) {
	partitions, _, err := tail.Open(ctx, s.kafka, name)
	return slices.ContainsFunc(partitions, func(p tail.Partition) bool { return p.Start > 0 }), err
}

// begins is where the relay begins: behind the last event that is published, which must be where the first one is that is not,
// since events are published in the order of commits.
//
// Where the topics have an event and lack one before it, a connector was killed with records under way, and there is no such
// place: it must run once more and be stopped.
func (s *session) begins(h *ahead) (at checkpoint.Position, published int, err error) {
	at.End = h.from
	var missing *coming // the first transaction of which an event is
	for i := range h.transactions {
		tx := &h.transactions[i]
		rows := int64(0)
		for _, e := range tx.events {
			switch there := h.published[e.key]; {
			case there && missing != nil:
				return at, 0, &checkpoint.Refusal{
					Gate: checkpoint.GateTail,
					Found: fmt.Sprintf("the topics have an event of transaction %s and lack one of transaction %s, which was committed before it: "+
						"a connector was killed with records under way, or Kafka has lost records", tx.commit, missing.commit),
					Remedy: "Start the connector again, let it catch up, stop it (PUT /connectors/NAME/stop), and run relay adopt again. If there is none: " +
						"SELECT pg_drop_replication_slot('" + s.config.Slot + "'), then relay recover --reason '...' publishes what the table has",
				}
			case there:
				published++
				rows++
			case missing == nil && h.cut[e.topic] && !s.wouldBeThere(e.topic, tx.at):
				return at, 0, &checkpoint.Refusal{
					Gate: checkpoint.GateTopic,
					Found: fmt.Sprintf("%s lacks an event of transaction %s, of %s; but records were deleted from it, and whether that was one of them "+
						"cannot be known", e.topic, tx.commit, tx.at.Format(time.RFC3339)),
					Remedy: s.anotherTopic(),
				}
			case missing == nil:
				missing = tx
			}
		}
		switch {
		case missing == nil:
			at.End = tx.end
		case rows > 0:
			at.Partial = &checkpoint.Partial{Commit: tx.commit, Rows: rows}
		}
	}
	if missing == nil {
		at.End = h.end
	}
	return at, published, nil
}

// wouldBeThere says whether an event of that time, had it been published, could not have been deleted yet.
func (s *session) wouldBeThere(topic string, at time.Time) bool {
	kept := s.topics[topic].Kept
	return kept > 0 && time.Since(at) < kept
}
