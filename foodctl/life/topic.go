package life

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/event"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// records reads the records of the order's events: those whose places the read model has named, and behind what it has read
// the others. What it found before an error stays.
func (r *Reader) records(ctx context.Context, l *Life, a applied) error {
	ctx, cancel := context.WithTimeoutCause(ctx, topicTime, errors.New("it did not answer in time"))
	defer cancel()
	details, err := kadm.NewClient(r.client).ListTopics(ctx, r.topic)
	if err == nil {
		err = details[r.topic].Err
	}
	if err != nil {
		return because(ctx, err)
	}
	detail := details[r.topic]
	home := home(r.topic, l.Order, len(detail.Partitions))
	for i := range l.Events {
		e := &l.Events[i]
		if e.Partition == nowhere {
			e.Partition = home
		}
		if e.Offset == nowhere || e.Found {
			continue
		}
		if err := r.take(ctx, l, partitionOf(r.client, detail, e.Partition), e.Offset); err != nil {
			return err
		}
	}
	if a.next == nil { // the read model does not answer: the whole topic would have to be searched
		return nil
	}
	return r.search(ctx, l, partitionOf(r.client, detail, home), a.next[home])
}

// because is why a request failed: that ctx ended, if it did.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// home is the partition of an order's records: that of the clients' usual hash of the key.
func home(name string, order uuid.UUID, partitions int) int32 {
	record := &kgo.Record{Topic: name, Key: []byte(order.String())}
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic(name).Partition(record, partitions)) //nolint:gosec // below partitions
}

// take reads what is at an offset, and takes whatever events of the order come with it.
func (r *Reader) take(ctx context.Context, l *Life, p partition, at int64) error {
	records, _, err := p.fetch(ctx, at, pointBytes)
	if errors.Is(err, errNotThere) {
		return nil // a topic that was made anew, or its log was cut
	}
	for _, record := range records {
		l.found(record, false)
	}
	return err
}

// search looks for the events that are not applied in what the read model has not read: from its position up to where the
// topic ended when the search began.
func (r *Reader) search(ctx context.Context, l *Life, p partition, at int64) error {
	if !l.lacks() {
		return nil
	}
	ends, err := kadm.NewClient(r.client).ListCommittedOffsets(ctx, r.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("where it ends: %w", because(ctx, err))
	}
	for end, _ := ends.Lookup(r.topic, p.number); at < end.Offset && l.lacks(); {
		records, next, err := p.fetch(ctx, at, searchBytes)
		switch {
		case errors.Is(err, errNotThere):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("partition %d was searched up to offset %d of %d: the read model is that far behind, ask again later",
				p.number, at, end.Offset)
		case err != nil:
			return err
		}
		for _, record := range records {
			l.found(record, true)
		}
		at = next
	}
	return nil
}

// lacks says whether an event's record is to be searched: it is neither applied nor found.
func (l *Life) lacks() bool {
	for _, e := range l.Events {
		if !e.Applied && !e.Found {
			return true
		}
	}
	return false
}

// found takes what a record says of one of the order's events. Unless it was searched for, it must be where the read model
// says that it is.
func (l *Life) found(record *kgo.Record, searched bool) {
	if string(record.Key) != l.Order.String() {
		return
	}
	m, err := topic.Parse(record)
	if err != nil {
		return // the audit tells of it
	}
	for i := range l.Events {
		e := &l.Events[i]
		if e.ID != m.ID || e.Found || !searched && (e.Partition != record.Partition || e.Offset != record.Offset) {
			continue
		}
		e.Found, e.Partition, e.Offset = true, record.Partition, record.Offset
		e.Commit, e.Index, e.Last, e.Committed = m.Source.Commit, m.Source.Index, m.Source.Last, m.Source.Committed.UTC()
		if e.Payload == nil {
			e.Payload = m.Payload
		}
		if id := traceOf(m.Headers[event.HeaderTraceparent]); id != "" {
			e.TraceID = id
		}
	}
}
