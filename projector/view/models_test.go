package view

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

func TestReadModels_I8_I9_I10(t *testing.T) {
	t.Parallel()
	viewtest.Check(t, projecting(models), viewtest.Models()...)
}

// projecting is this package for viewtest, with these read models.
func projecting(models map[string]func(events int) model) viewtest.Projector {
	return func(ctx context.Context, pool *pgxpool.Pool, partitions int) ([]viewtest.Apply, error) {
		v := &View{pool: pool, topic: testTopic, models: models}
		log := Log{testTopicID, make(map[int32]Bounds)}
		for part := range int32(partitions) {
			log.Bounds[part] = Bounds{0, 1 << 40}
		}
		claimed, refused, err := v.Claim(ctx, "one", log)
		if err != nil {
			return nil, err
		}
		if len(refused) > 0 {
			return nil, fmt.Errorf("refused: %v", refused)
		}
		parts := make([]viewtest.Apply, partitions)
		for part, p := range claimed {
			parts[part] = p.applying()
		}
		return parts, nil
	}
}

// applying applies batches as the consumer does, which does not try again what is permanent.
func (p *Partition) applying() viewtest.Apply {
	var stopped error
	return func(ctx context.Context, batch []viewtest.Event) error {
		if stopped != nil {
			return stopped
		}
		applied, err := p.Apply(ctx, events(batch))
		if Permanent(err) {
			stopped = err
		}
		if n := applied.Events + applied.Duplicates; err == nil && n != len(batch) {
			return fmt.Errorf("%d of %d events were applied or known", n, len(batch))
		}
		return err
	}
}

func events(from []viewtest.Event) []Event {
	events := make([]Event, len(from))
	for i, e := range from {
		events[i] = Event{Event: e.Event, Offset: e.Offset, LeaderEpoch: e.LeaderEpoch, Data: e.Data, Raw: raw(e.Event)}
	}
	return events
}
