package consumer

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// Batches applies batches of a partition's events as often as it takes to know what became of them.
type Batches struct {
	// Done is told of each batch that was committed.
	Done func([]view.Event, view.Applied)

	// Failed is told of each failure that may pass, the n-th of a batch in a row, n >= 1, and waits. An error ends the batch.
	Failed func(n, events int, err error) error
}

// Apply applies the events, in one batch if that can be. If one of them is refused, those before it are applied, so that the partition
// stands exactly there. If the database cannot hold what one of them brings, that one is parked.
func (b *Batches) Apply(ctx context.Context, p *view.Partition, events []view.Event) error {
	for n := 1; ; n++ {
		done, err := p.Apply(ctx, events)
		if err == nil {
			b.Done(events, done)
			return nil
		}
		if refusal, is := errors.AsType[*view.Refusal](err); is {
			before, _ := slices.BinarySearchFunc(events, refusal.Offset, func(e view.Event, at int64) int { return cmp.Compare(e.Offset, at) })
			return errors.Join(b.Apply(ctx, p, events[:before]), err)
		}
		if view.Unstorable(err) && (len(events) > 1 || events[0].Err == nil) {
			return b.halve(ctx, p, events, err)
		}
		if errors.Is(err, view.ErrFenced) || view.Permanent(err) || ctx.Err() != nil {
			return err
		}
		if err := b.Failed(n, len(events), err); err != nil {
			return err
		}
	}
}

// halve applies the halves of a batch of which the database cannot hold something, down to the event that brings it.
func (b *Batches) halve(ctx context.Context, p *view.Partition, events []view.Event, err error) error {
	if len(events) == 1 {
		events[0].Err = err
		return b.Apply(ctx, p, events)
	}
	middle := len(events) / 2
	if err := b.Apply(ctx, p, events[:middle]); err != nil {
		return err
	}
	return b.Apply(ctx, p, events[middle:])
}
