package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// turn is how many batches of a partition are replayed with the fence, or without it, before it is the other's turn.
const turn = 8

// fenceCost is how much longer batches take with the fence than without it, in per cent. Two clean runs would not tell: it
// is less than what one run on a machine with neighbours differs from the next. So each run has both in turns, and the
// second run has one where the first had the other.
func (x *replays) fenceCost(ctx context.Context) (percent float64, err error) {
	var with, without time.Duration
	for run := range 2 {
		m, err := x.readModel(ctx)
		if err != nil {
			return 0, err
		}
		var spent [topic.Partitions][2]time.Duration
		err = x.replayers(ctx, m, func() {}, func(context.Context) error { return nil }, func(p *replayer, part int) (err error) {
			spent[part], err = x.inTurns(p, part, run)
			return err
		})
		if err = errors.Join(err, m.drop(context.WithoutCancel(ctx))); err != nil {
			return 0, err
		}
		for _, s := range spent {
			without, with = without+s[0], with+s[1]
		}
	}
	return 100 * (with.Seconds()/without.Seconds() - 1), nil
}

// inTurns replays a partition and returns what the batches took without the fence and with it.
func (x *replays) inTurns(p *replayer, part, run int) (spent [2]time.Duration, err error) {
	before := 0
	for i, b := range x.recording.batches[part] {
		fenced := (i/turn + run) % 2
		said, err := x.recording.messages(b)
		if err != nil {
			return spent, err
		}
		if fenced > before { // nobody has moved the offset meanwhile
			if err := p.query(fmt.Sprintf("UPDATE %s SET next_offset = %d WHERE part = %d", offsets, b.next, part)); err != nil {
				return spent, err
			}
		}
		began := time.Now()
		if err := p.batch(b, said, [2]way{unfenced, whole}[fenced]); err != nil {
			return spent, err
		}
		spent[fenced] += time.Since(began)
		before = fenced
	}
	return spent, nil
}
