package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// adoptCommand is relay adopt.
type adoptCommand struct {
	config `embed:""`

	DryRun bool `name:"dry-run" help:"Say where the relay would go on, and change nothing. It holds the slot meanwhile."`
}

// Validate is called by kong.
func (c *adoptCommand) Validate() error {
	if c.Outbox == "" {
		return errors.New("adopt needs --outbox: the configuration of the connector that is taken over from")
	}
	return nil
}

// handedOver are the transactions that a slot would send, in order, up to where its log ended, and which of their events the
// topics have.
type handedOver struct {
	from, end    outbox.LSN
	transactions []pending
	topics       map[string]bool // that the events go to
	published    map[string]bool // by topic and id: every event of the transactions, and whether it is there
}

type pending struct {
	commit, end outbox.LSN
	events      []string // keys of published
}

func eventName(topic string, id []byte) string { return topic + " " + string(id) }

// adopt takes over from a Debezium connector that was stopped. Its slot is where it has acknowledged, which lags behind what it
// has published: it acknowledges now and then. So the topics are asked. What the slot would send, the connector has published
// up to some event and not beyond, since it publishes in the order of commits; there the relay begins. Nothing is read of the
// connector's own offsets, which can lag too, and may be anywhere.
//
// Where the topics have an event and lack one before it, the connector was killed with records under way, and there is no such
// place: it must run once more and be stopped.
func (s *session) adopt(ctx context.Context, dry bool, out io.Writer) error {
	if err := s.takeSlot(ctx); err != nil {
		return err
	}
	cp, found, err := checkpoint.Peek(ctx, s.kafka, s.checkpointTopic())
	if err == nil && found {
		err = fmt.Errorf("there is a checkpoint at %s already: the relay has taken over; run relay run", cp.At.End)
	}
	if err != nil && !errors.Is(err, checkpoint.ErrDamaged) {
		return err
	}
	h, err := s.readAhead(ctx)
	if err != nil {
		return err
	}
	records, err := s.lookForPublished(ctx, h)
	if err != nil {
		return err
	}
	at, published, err := h.position()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Of what slot %s would send, %d transactions with %d events, the connector has published %d events; the relay begins "+
		"behind them, at %s.\n", s.config.Slot, len(h.transactions), len(h.published), published, at.End)
	if dry {
		return nil
	}
	if err := s.fence(ctx); err != nil {
		return err
	}
	if err := s.found(ctx, maps.Keys(h.topics)); err != nil {
		return err
	}
	return s.beginAt(ctx, at, records)
}

// takeSlot holds the connector's slot.
func (s *session) takeSlot(ctx context.Context) error {
	waiting, cancel := context.WithTimeoutCause(ctx, slotFree, errors.New("the slot is in use: stop the connector (PUT /connectors/NAME/stop), then run relay adopt again"))
	defer cancel()
	err := s.lock(ctx, func(context.Context) error { return s.poll(waiting) })
	if err == nil && s.slot == nil {
		err = fmt.Errorf("there is no slot %s to take over: if the connector has none any more, run relay run, which makes one, and "+
			"see what docs/outbox.md says of a first start", s.config.Slot)
	}
	return s.unusable(ctx, err)
}

// readAhead reads from the slot up to where the log ended when it was taken, and acknowledges nothing.
func (s *session) readAhead(ctx context.Context) (*handedOver, error) {
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	if err != nil {
		return nil, err
	}
	defer s.release()
	h := &handedOver{from: slot.Confirmed, end: slot.Confirmed, topics: make(map[string]bool), published: make(map[string]bool)}
	for h.end < slot.Flushed {
		select {
		case chunk := <-s.slot.Chunks():
			for i := range chunk.Messages {
				s.note(h, &chunk.Messages[i])
			}
			s.slot.Release(chunk)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return h, nil
}

func (s *session) note(h *handedOver, m *wal.Message) {
	switch m.Kind {
	case wal.Begin:
		h.transactions = append(h.transactions, pending{commit: m.LSN})
	case wal.Insert:
		name := s.layout.FixedTopic()
		if s.layout.Routed() {
			name = s.layout.Topic(string(m.Row.AggregateType))
		}
		key := eventName(name, m.Row.ID)
		h.topics[name], h.published[key] = true, false
		tx := &h.transactions[len(h.transactions)-1]
		tx.events = append(tx.events, key)
	case wal.Commit:
		h.transactions[len(h.transactions)-1].end = m.LSN
		h.end = max(h.end, m.LSN)
	case wal.Idle:
		h.end = max(h.end, m.LSN)
	}
}

// lookForPublished looks for the events in their topics, and counts the records there.
func (s *session) lookForPublished(ctx context.Context, h *handedOver) (records int64, err error) {
	if err := s.inspect(ctx); err != nil {
		return 0, err
	}
	if err := s.found(ctx, maps.Keys(h.topics)); err != nil {
		return 0, err
	}
	for _, name := range s.names() {
		partitions, _, err := tail.Open(ctx, s.kafka, name)
		if err != nil {
			return 0, err
		}
		for _, p := range partitions {
			err := p.Scan(ctx, p.Start, func(r *kgo.Record) error {
				id, err := topic.ID(r)
				records++
				key := eventName(name, []byte(id))
				if _, asked := h.published[key]; asked {
					h.published[key] = true
				}
				return err
			})
			if err != nil {
				return 0, foreign(err)
			}
		}
	}
	return records, nil
}

// position is behind the last event that is published, which must be where the first one is that is not.
func (h *handedOver) position() (at checkpoint.Position, published int, err error) {
	at.End = h.from
	missing := ""
	for _, tx := range h.transactions {
		rows := int64(0)
		for _, key := range tx.events {
			switch there := h.published[key]; {
			case there && missing != "":
				return at, 0, fmt.Errorf("the topics have the event %q and lack %q, which was committed before it: the connector was not stopped but "+
					"ended in the middle; start it again, let it catch up, stop it (PUT /connectors/NAME/stop), and run relay adopt again", key, missing)
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
func (s *session) beginAt(ctx context.Context, at checkpoint.Position, records int64) error {
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
		At: at, Events: records, Reason: s.config.Reason, WrittenAt: time.Now().UTC(),
	}
	if err := s.producer.Begin(); err != nil {
		return err
	}
	_, err = s.producer.Commit(ctx, s.cp)
	return err
}
