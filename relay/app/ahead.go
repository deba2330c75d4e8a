package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/backlog"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// errAgain ends a session whose slot has been read and must be read again. The next one begins at once.
var errAgain = errors.New("loaded; the slot is read from its beginning now")

// ahead are the transactions that a slot would send, in order, up to where the log ended, and which of their events the
// topics have.
type ahead struct {
	from, end    outbox.LSN
	transactions []coming
	topics       map[string]bool // that the events go to
	published    map[string]bool // by topic and id: every event of the transactions, and whether it is there
	ids          eventSet
	twice        string // an event that came twice
}

type coming struct {
	commit, end outbox.LSN
	events      []string // keys of published
}

func eventName(topic string, id []byte) string { return topic + " " + string(id) }

// goOn is the load of an outbox that is not ours, where its slot is there. That slot's log may be the only place that has a row
// which was deleted from the table, so the slot is not made anew. Instead it is found out what it would send: of the rest, the
// table's rows are published that the topics lack; of that, the topics have the first so many events, and behind them the relay
// begins.
//
// The order is the proof. The table is seen as it was before the log is read to its end, so whatever it has and the slot would
// not send was committed before the slot's beginning. The other way round, a row that came in between would be published
// twice: out of the table and from the slot.
func (s *session) goOn(ctx context.Context, reason string) error {
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
	at, _, err := h.position()
	if err != nil {
		return err
	}
	if table != nil {
		if err := s.announce(ctx, reason); err != nil {
			return err
		}
		maps.Copy(published, h.ids) // the slot will send them
		if err := s.fill(ctx, table, published); err != nil {
			return err
		}
		records += s.cp.Events
	}
	return s.beginAt(ctx, at, records, reason)
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
	h := &ahead{from: slot.Confirmed, end: slot.Confirmed, topics: make(map[string]bool), published: make(map[string]bool), ids: make(eventSet)}
	for h.end < until {
		select {
		case chunk := <-s.slot.Chunks():
			for i := range chunk.Messages {
				s.note(h, &chunk.Messages[i])
			}
			s.slot.Release(chunk)
		case <-s.slot.done:
			return nil, errors.New("the stream ended")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if h.twice != "" {
		return nil, fmt.Errorf("two rows have the same id and topic (%s): which of them is published cannot be known", h.twice)
	}
	return h, nil
}

// logEnd is a position behind every commit that was visible when it was asked. Behind the header of a page that has nothing else
// yet is the page's beginning (wal_block_size is 8 KB but for servers that somebody has built).
func logEnd(ctx context.Context, conn interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}) (outbox.LSN, error) {
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
		h.transactions = append(h.transactions, coming{commit: m.LSN})
	case wal.Insert:
		name := s.layout.FixedTopic()
		if s.layout.Routed() {
			name = s.layout.Topic(string(m.Row.AggregateType))
		}
		key := eventName(name, m.Row.ID)
		if _, there := h.published[key]; there {
			h.twice = key
		}
		h.topics[name], h.published[key], h.ids[eventKey(m.Row.ID)] = true, false, struct{}{}
		tx := &h.transactions[len(h.transactions)-1]
		tx.events = append(tx.events, key)
	case wal.Commit:
		h.transactions[len(h.transactions)-1].end = m.LSN
		h.end = max(h.end, m.LSN)
	case wal.Idle:
		h.end = max(h.end, m.LSN)
	}
}

// lookFor looks for the events in their topics, and counts the records there. It adds the ids of all records to published, unless
// that is nil.
func (s *session) lookFor(ctx context.Context, h *ahead, published eventSet) (records int64, err error) {
	for _, name := range s.names() {
		err := s.eachRecord(ctx, s.topics[name], published != nil && s.layout.Order != "", func(id string) {
			records++
			key := eventName(name, []byte(id))
			if _, asked := h.published[key]; asked {
				h.published[key] = true
			}
			if published != nil {
				published[eventKey([]byte(id))] = struct{}{}
			}
		})
		if err != nil {
			return 0, err
		}
	}
	return records, nil
}

// eachRecord calls f with the id of each event in a topic. It refuses a topic whose keys are in other partitions than the relay
// puts them; and one whose beginning is gone, if whole: what was deleted there cannot be told from what was never published.
func (s *session) eachRecord(ctx context.Context, of publish.Topic, whole bool, f func(id string)) error {
	partitions, _, err := tail.Open(ctx, s.kafka, of.Name)
	if err != nil {
		return err
	}
	for n, p := range partitions {
		if whole && p.Start > 0 {
			return &checkpoint.Refusal{
				Gate:   checkpoint.GateTopic,
				Found:  fmt.Sprintf("partition %d of %s begins at offset %d: records were deleted, and which events they were cannot be known", n, of.Name, p.Start),
				Remedy: s.anotherTopic(),
			}
		}
		err := p.Scan(ctx, p.Start, func(r *kgo.Record) error {
			id, err := topic.ID(r)
			f(id)
			if own := of.Partition(r.Key); err == nil && own != n && r.Key != nil {
				err = &checkpoint.Refusal{
					Gate: checkpoint.GateTopic,
					Found: fmt.Sprintf("event %s is in partition %d of %s, its order's later ones would go to %d: partitions were added, "+
						"or its writer has other keys", id, n, of.Name, own),
					Remedy: s.anotherTopic(),
				}
			}
			return err
		})
		if err != nil {
			return foreign(err)
		}
	}
	return nil
}

// anotherTopic is the way out where a topic can be gone on with by nobody.
func (s *session) anotherTopic() string {
	if s.layout.Own {
		return "Make a new topic, run relay recover with --topic and rebuild the topic's readers"
	}
	return "Make new topics, with another route.topic.replacement and topic.prefix, or set snapshot.mode to no_data, with which the table is never read; " +
		"then run relay recover --reason '...'"
}

// position is behind the last event that is published, which must be where the first one is that is not: events are published
// in the order of commits.
//
// Where the topics have an event and lack one before it, a connector was killed with records under way, and there is no such
// place: it must run once more and be stopped.
func (h *ahead) position() (at checkpoint.Position, published int, err error) {
	at.End = h.from
	missing := ""
	for _, tx := range h.transactions {
		rows := int64(0)
		for _, key := range tx.events {
			switch there := h.published[key]; {
			case there && missing != "":
				return at, 0, fmt.Errorf("the topics have the event %q and lack %q, which was committed before it: a connector was not stopped but "+
					"ended in the middle: start it again, let it catch up, stop it (PUT /connectors/NAME/stop), and run relay adopt again; or Kafka has lost records: "+
					"see docs/outbox.md", key, missing)
			case there:
				published++
				rows++
			case missing == "":
				missing = key
			}
		}
		switch {
		case missing == "":
			at.End = tx.end
		case rows > 0:
			at.Partial = &checkpoint.Partial{Commit: tx.commit, Rows: rows}
		}
	}
	if missing == "" {
		at.End = h.end
	}
	return at, published, nil
}

// beginAt commits the checkpoint that a relay goes on from.
func (s *session) beginAt(ctx context.Context, at checkpoint.Position, records int64, reason string) error {
	ends, err := s.ends(ctx)
	if err != nil {
		return err
	}
	cluster, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	s.cp = checkpoint.Record{
		Format: s.format(), Phase: checkpoint.Streaming, Slot: s.config.Slot, Source: s.position(), Cluster: cluster, Topics: ends,
		At: at, Events: records, Reason: reason, WrittenAt: time.Now().UTC(),
	}
	if err := s.producer.Begin(); err != nil {
		return err
	}
	s.cp, err = s.producer.Commit(ctx, s.cp)
	return err
}
