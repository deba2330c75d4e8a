package publish

import (
	"context"
	"fmt"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// bury puts an event that cannot be published to its topic among the dead letters, in the same transaction (I4), with the
// reason and the topic that it was for. Nothing is put in its place, where a record without a payload would be a deletion: who
// reads the topic meets the next event of the key. That is what the user chose by naming a topic; otherwise the relay halts.
//
// Its payload is there as it is, without the id of a schema: why it is a dead letter may be that it does not fit one.
//
// An event without an id halts it all the same: the gates and recover tell events by their id. So does one that is too large
// for the dead letters: without its payload it would be lost where rows are deleted.
func (p *Producer) bury(ctx context.Context, row outbox.Row, src topic.Source, why error) (int, error) {
	if row.ID == nil {
		return 0, why
	}
	to, err := p.find(ctx, p.config.Layout.DeadLetters)
	if err != nil {
		return 0, fmt.Errorf("%w; for the dead letters: %w", why, err)
	}
	p.headers = topic.AppendDead(p.headers[:0], row, src, why.Error(), p.meant(row))
	size := len(row.AggregateID) + len(row.Payload) + len(p.headers)
	if size+frame > int(to.MaxMessageBytes) {
		return 0, fmt.Errorf("%w; for the dead letters it has %d bytes, max.message.bytes of %s is %d", why, size, to.Name, to.MaxMessageBytes)
	}
	p.config.Log.Warn("event moved to the dead letters", "event_id", string(row.ID), "topic", to.Name, "err", why)
	p.config.Buried()
	return size, p.put(ctx, to, src.Committed, row, value{payload: row.Payload}, src)
}

// meant is the topic that a row was for; empty if it does not say.
func (p *Producer) meant(row outbox.Row) string {
	switch {
	case p.only != nil:
		return p.only.Name
	case row.AggregateType == nil:
		return ""
	}
	return p.config.Layout.Topic(string(row.AggregateType))
}
