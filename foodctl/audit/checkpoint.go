package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
)

// checkpoint is the relay's record of how far it is, as far as the audit needs it: a form of its own, decoded from the
// documented JSON, so that a fault of the relay's code cannot hide here.
type checkpoint struct {
	Format int    `json:"format"`
	Phase  string `json:"phase"`
	Source struct {
		SystemID string `json:"system_id"`
	} `json:"source"`
	Target struct {
		TopicID string `json:"topic_id"`
	} `json:"target"`
	Position struct {
		End outbox.LSN `json:"end_lsn"`
	} `json:"position"`
	LastEvents []string `json:"last_events"` // by partition, "" for none
	Events     int64    `json:"events"`      // in the topic
}

// The forms and phases of a checkpoint that the audit knows.
const (
	checkpointFormat = 1
	phaseStreaming   = "streaming"
)

// slotState is what Postgres says of the relay's slot.
type slotState struct {
	confirmed outbox.LSN
	systemID  string
}

const selectSlot = `
SELECT confirmed_flush_lsn::text, (SELECT system_identifier::text FROM pg_control_system())
FROM pg_replication_slots
WHERE slot_name = $1 AND confirmed_flush_lsn IS NOT NULL`

// slot returns false if the database server has no such slot.
func slot(ctx context.Context, db querier, name string) (slotState, bool, error) {
	var (
		s         slotState
		confirmed string
	)
	err := db.QueryRow(ctx, selectSlot, name).Scan(&confirmed, &s.systemID)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("replication slot %s: %w", name, err)
	}
	s.confirmed, err = outbox.ParseLSN(confirmed)
	return s, true, err
}

// confirmed reports whether the relay has told Postgres that it needs nothing below a position any more.
func confirmed(ctx context.Context, db querier, name string, at outbox.LSN) (bool, error) {
	s, exists, err := slot(ctx, db, name)
	return exists && s.confirmed >= at, err
}

// loading reports whether the relay is loading the outbox table. Its slot then says nothing of what is published: one that was made anew
// begins behind all that is still to be loaded. The checkpoint says so before that slot is there, so the slot must be asked first.
func loading(ctx context.Context, client *kgo.Client, cfg Config) (bool, error) {
	value, err := lastRecord(ctx, client, cfg.checkpointTopic())
	if err != nil || value == nil {
		return false, err
	}
	var c checkpoint
	fault := json.Unmarshal(value, &c) // one that is none is a finding of its own
	return fault == nil && c.Phase != phaseStreaming, nil
}

// position is what was observed of the relay's position, in an order in which nothing that moves can make a correct one
// look wrong: first the topic's end, then what Postgres was told, then the checkpoint, then the end of Postgres's log.
// Each of them is at most the next one.
type position struct {
	marks  []int64 // the topic's end: what stands below it must be covered by the checkpoint
	slot   slotState
	has    bool
	saved  checkpoint
	walEnd outbox.LSN
}

func (a *audit) observe(ctx context.Context) (position, error) {
	var (
		p   position
		err error
	)
	if p.marks, err = a.topic.committedEnds(ctx); err != nil {
		return p, fmt.Errorf("end of topic %s: %w", a.cfg.Topic, err)
	}
	var exists bool
	if p.slot, exists, err = slot(ctx, a.source, a.cfg.Slot); err != nil {
		return p, err
	}
	if !exists {
		a.undecided("the slot %s does not exist, so nothing new reaches the topic: start the relay; if it ran before, "+
			"its slot was lost: see relay recover --help", a.cfg.Slot)
	}
	value, err := lastRecord(ctx, a.topic.client, a.cfg.checkpointTopic())
	if err != nil {
		return p, err
	}
	if p.has = value != nil; p.has {
		if err := json.Unmarshal(value, &p.saved); err != nil {
			a.wrongCheckpoint("it is not the JSON of a checkpoint: %v", err)
			p.has = false
		}
	}
	p.walEnd, err = walEnd(ctx, a.source)
	return p, err
}

// judgeCheckpoint holds the checkpoint against the slot (I5), the write-ahead log and the topic (I4). The topic must
// have been read since the position was observed.
func (a *audit) judgeCheckpoint(p position) {
	c := p.saved
	switch {
	case !p.has && a.report.Checkpoint.Wrong > 0:
		return
	case !p.has && a.report.Topic.Records > 0:
		a.wrongCheckpoint("the topic has events and there is no checkpoint: the relay cannot tell where to go on")
		return
	case !p.has:
		return
	case c.Format > checkpointFormat:
		a.undecided("the checkpoint has format %d and this foodctl knows %d: use a newer foodctl", c.Format, checkpointFormat)
		return
	}
	report := &a.report.Checkpoint
	report.Checked, report.Phase, report.Position, report.Confirmed = true, c.Phase, c.Position.End, p.slot.confirmed
	if c.Phase != phaseStreaming {
		a.note("the relay is loading the outbox table anew (phase %q), so its position means nothing yet", c.Phase)
		return
	}
	if p.slot.confirmed > c.Position.End {
		a.wrongCheckpoint("Postgres was told that %s is published, the checkpoint is at %s: what lies between would be lost (I5)",
			p.slot.confirmed, c.Position.End)
	}
	if c.Position.End > p.walEnd {
		a.wrongCheckpoint("it is at %s, the database's log ends at %s: it is of another history (I7)", c.Position.End, p.walEnd)
	}
	if p.slot.systemID != "" && c.Source.SystemID != p.slot.systemID {
		a.wrongCheckpoint("it is of database system %s, this is %s (I7)", c.Source.SystemID, p.slot.systemID)
	}
	a.judgeLastEvents(c)
}

// judgeLastEvents checks that checkpoint and topic end at the same event, as they must if both are written in one
// transaction (I4): a checkpoint behind the topic means duplicates at the next start, one ahead of it means a loss.
func (a *audit) judgeLastEvents(c checkpoint) {
	if len(c.LastEvents) != len(a.judge.last) {
		a.wrongCheckpoint("it names the last events of %d partitions, the topic has %d", len(c.LastEvents), len(a.judge.last))
		return
	}
	ends := make([]int64, len(c.LastEvents)) // the offset behind the last event that the checkpoint covers
	for part, name := range c.LastEvents {
		last := a.judge.last[part]
		if name == "" && last == nowhere {
			continue
		}
		id, err := uuid.Parse(name)
		number, known := a.events.find(id)
		if err != nil || !known || a.events.places[number] == nowhere || a.events.places[number].partition() != int32(part) {
			a.wrongCheckpoint("it says that partition %d ends with event %q, which is not there", part, name)
			return
		}
		if a.events.places[number] < last {
			a.wrongCheckpoint("it says that partition %d ends at offset %d, there is an event at offset %d (I4)",
				part, a.events.places[number].offset(), last.offset())
			return
		}
		ends[part] = a.events.places[number].offset() + 1
	}
	var covered int64
	for _, p := range a.events.places {
		if p != nowhere && p.offset() < ends[p.partition()] {
			covered++
		}
	}
	if covered != c.Events {
		a.wrongCheckpoint("it counts %d events in the topic, there are %d up to its last ones", c.Events, covered)
	}
}

func (a *audit) wrongCheckpoint(format string, args ...any) {
	a.report.Checkpoint.Checked = true
	a.report.Checkpoint.Wrong++
	a.list.add(Offender{Kind: WrongCheckpoint, Detail: fmt.Sprintf(format, args...)})
}

// lastRecord returns the value of the last committed record of a one-partition topic, nil if there is neither record nor
// topic. It follows positions, because what compaction or an abort leaves at the end of a log is delivered to no consumer.
func lastRecord(ctx context.Context, client *kgo.Client, topic string) ([]byte, error) {
	r := &reader{client: client, admin: kadm.NewClient(client), topic: topic}
	leader, err := r.bounds(ctx)
	if errors.Is(err, errNoTopic) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint topic %s: %w", topic, err)
	}
	ends, err := r.committedEnds(ctx)
	if err != nil {
		return nil, fmt.Errorf("end of checkpoint topic %s: %w", topic, err)
	}
	var value []byte
	for position := r.starts[0]; position < ends[0]; {
		records, next, err := r.fetch(ctx, leader, position)
		if err != nil {
			return nil, fmt.Errorf("read checkpoint topic %s at offset %d: %w", topic, position, err)
		}
		for _, rec := range records {
			value = rec.Value
		}
		position = next
	}
	return value, nil
}

// fetch reads partition 0 once and returns the position behind what it read.
func (r *reader) fetch(ctx context.Context, leader int32, position int64) ([]*kgo.Record, int64, error) {
	part := kmsg.NewFetchRequestTopicPartition()
	part.FetchOffset, part.PartitionMaxBytes = position, 4<<20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = r.topic, r.id, []kmsg.FetchRequestTopicPartition{part}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = 100, 1, 8<<20, 1, -1 // MaxBytes: see tail.Partition.fetch
	req.Topics = []kmsg.FetchRequestTopic{topic}
	answer, err := r.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, 0, err
	}
	resp, isFetch := answer.(*kmsg.FetchResponse)
	if !isFetch || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, 0, errors.Join(kerr.ErrorForCode(resp.ErrorCode), errors.New("the broker did not answer for the one partition"))
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: position, IsolationLevel: kgo.ReadCommitted(), Topic: r.topic,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return fetched.Records, max(next, position), fetched.Err
}
