package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
	"github.com/adamkwhite/kafkafoodpipeline/relay/tail"
	"github.com/adamkwhite/kafkafoodpipeline/relay/wal"
)

// visibleWithin is how long a published event may take to be visible in the outbox table: a commit is in the log, and so
// with the relay, a moment before other sessions see it.
const visibleWithin = 5 * time.Second

// checkHanging refuses topics that nobody can read to their end. It comes before anything is read of them, which would
// wait for ever.
func (s *session) checkHanging(ctx context.Context) error {
	return s.hanging(ctx, append(s.names(), s.checkpointTopic())...)
}

func (s *session) hanging(ctx context.Context, topics ...string) error {
	hanging, err := s.findHanging(ctx, topics...)
	if err != nil || len(hanging) == 0 {
		return err
	}
	return &checkpoint.Refusal{
		Gate:   checkpoint.GateTail,
		Found:  fmt.Sprintf("%s, of which no coordinator knows: the broker lost records, or notes about them", hanging[0]),
		Remedy: "Run: relay recover --reason '...', which aborts it and publishes what is missing",
	}
}

// noHanging is checkHanging, or endHanging in a recovery.
func (s *session) noHanging(ctx context.Context) error {
	if s.mends {
		return s.endHanging(ctx)
	}
	return s.checkHanging(ctx)
}

// findHanging leaves out what this session has committed itself: if a marker of that was left out, the producer writes it. To
// abort it would lose what was committed.
func (s *session) findHanging(ctx context.Context, topics ...string) ([]publish.Hanging, error) {
	hanging, err := publish.FindHanging(ctx, s.kafka, topics...)
	if s.producer != nil {
		hanging = slices.DeleteFunc(hanging, s.producer.Owns)
	}
	return hanging, err
}

// endHanging aborts what checkHanging refuses.
func (s *session) endHanging(ctx context.Context) error {
	hanging, err := s.findHanging(ctx, append(s.names(), s.checkpointTopic())...)
	if err != nil {
		return err
	}
	for _, h := range hanging {
		s.log.Warn("a hanging transaction is aborted", "topic", h.Topic, "partition", h.Partition, "offset", h.CurrentTxnStartOffset)
	}
	return publish.EndHanging(ctx, s.kafka, hanging)
}

// incomplete refuses a slot without a checkpoint, or a checkpoint without its slot: the one that is missing was lost.
func (s *session) incomplete(found, slot bool) *checkpoint.Refusal {
	switch {
	case found && s.cp.Phase == checkpoint.Streaming && !slot:
		return &checkpoint.Refusal{
			Gate: checkpoint.GateSlot,
			Found: fmt.Sprintf("slot %s does not exist, but there is a checkpoint at %s: what was written since is only in the outbox table",
				s.config.Slot, s.cp.At.End),
			Remedy: "Run: relay recover --reason '...'",
		}
	case !found && slot:
		return &checkpoint.Refusal{
			Gate: checkpoint.GateCheckpoint,
			Found: fmt.Sprintf("slot %s exists, but %s holds no checkpoint: it was lost, or the slot is not this relay's",
				s.config.Slot, s.checkpointTopic()),
			Remedy: s.withoutCheckpoint(),
		}
	}
	return nil
}

func (s *session) withoutCheckpoint() string {
	if s.layout.Own {
		return "Run: relay recover --reason '...'"
	}
	return "If the slot is that of a connector that was stopped, run: relay adopt. If the checkpoint was lost, run: relay recover --reason '...'"
}

// check gathers what is there now and holds it against the checkpoint (I7).
func (s *session) check(ctx context.Context) error {
	now, err := s.pass(ctx, s.open)
	if err != nil {
		return err
	}
	now.Source.Publication = s.print
	moved := s.cp.Source != now.Source || s.cp.Cluster != now.Cluster || !maps.EqualFunc(s.cp.Topics, now.Topics, checkpoint.Ends.Equal)
	s.cp.Format, s.cp.Source, s.cp.Cluster, s.cp.Topics = s.format(), now.Source, now.Cluster, now.Topics
	if !moved && len(s.open) == 0 {
		return nil
	}
	err = s.record(ctx)
	if err == nil {
		s.relay.open = nil // opened once: what closes later is another matter
	}
	return err
}

// pass returns what is there now if it is the checkpoint's, but for gates that are open.
func (s *session) pass(ctx context.Context, open []checkpoint.Gate) (checkpoint.Observed, error) {
	now, err := s.observe(ctx)
	if err != nil {
		return now, err
	}
	if refusal := checkpoint.Check(s.cp, now, open); refusal != nil {
		return now, refusal
	}
	if !s.layout.Own { // of another's tables, rows may be deleted
		return now, nil
	}
	// Last, since it waits for an event that is missing, and who was fenced by mistake waits too.
	if now.Missing, err = missing(ctx, s.database, s.cp.Last()); err != nil {
		return now, err
	}
	if refusal := checkpoint.Check(s.cp, now, open); refusal != nil {
		return now, refusal
	}
	return now, nil
}

// record writes down that the relay went on though something had changed: a timeline that it followed, or a gate that an
// operator opened.
func (s *session) record(ctx context.Context) error {
	s.cp.WrittenAt = time.Now().UTC()
	s.cp.Overrides = nil
	for _, gate := range s.open {
		s.cp.Overrides = append(s.cp.Overrides, fmt.Sprintf("%s: %s", gate, s.config.Reason))
		s.log.Warn("gate opened by the operator", "gate", gate, "reason", s.config.Reason)
	}
	if err := s.producer.Begin(); err != nil {
		return err
	}
	var err error
	s.cp, err = s.producer.Commit(ctx, s.cp)
	return err
}

// observe looks at everything but whether events are missing.
func (s *session) observe(ctx context.Context) (checkpoint.Observed, error) {
	slot, err := wal.Inspect(ctx, s.database, s.config.Slot)
	if err != nil {
		return checkpoint.Observed{}, err
	}
	now := checkpoint.Observed{
		Source:     s.position(),
		SlotUsable: slot.Usable, SlotStatus: slot.Status, Confirmed: slot.Confirmed, Flushed: slot.Flushed,
	}
	if s.cp.Source.Publication == s.formerPrint {
		now.Source.Publication = s.formerPrint
	}
	if now.Source.Timeline != s.cp.Source.Timeline {
		if err := s.switchPoint(ctx, &now); err != nil {
			return now, err
		}
	}
	if now.Cluster, err = s.cluster(ctx); err != nil {
		return now, err
	}
	if now.Topics, err = s.ends(ctx); err != nil {
		return now, err
	}
	if !s.layout.Own {
		err = s.allowDeleted(ctx, now.Topics)
	}
	return now, err
}

// allowDeleted takes a partition of which all records were deleted for one that ends as the checkpoint says: topics that are not
// ours keep records for as long as somebody has said, and a log that was cut begins where it began.
func (s *session) allowDeleted(ctx context.Context, now map[string]checkpoint.Ends) error {
	for name, is := range now {
		was := s.cp.Topics[name].Last
		if slices.Equal(was, is.Last) || len(was) != len(is.Last) {
			continue
		}
		partitions, _, err := tail.Open(ctx, s.kafka, name)
		if err != nil {
			return err
		}
		for n, p := range partitions {
			if is.Last[n] == "" && p.Start > 0 && p.Start == p.End {
				is.Last[n] = was[n]
			}
		}
	}
	return nil
}

func (s *session) switchPoint(ctx context.Context, now *checkpoint.Observed) error {
	conn, err := s.replication(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // nothing was written
	now.SwitchPoint, _, err = wal.SwitchPoint(ctx, conn, now.Source.Timeline, s.cp.Source.Timeline)
	return err
}

const selectMissing = `
SELECT e.id::text
FROM unnest($1::uuid[]) AS e (id)
WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.id = e.id)`

// missing returns the events that the outbox table does not have, and goes on not to have.
func missing(ctx context.Context, conn *pgx.Conn, events []string) ([]string, error) {
	deadline := time.Now().Add(visibleWithin)
	for {
		rows, err := conn.Query(ctx, selectMissing, events)
		if err != nil {
			return nil, fmt.Errorf("look for the last events: %w", err)
		}
		gone, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("look for the last events: %w", err)
		}
		if len(gone) == 0 || time.Now().After(deadline) {
			return gone, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
