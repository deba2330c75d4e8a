package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/audit"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

// cutter cuts the relay that publishes off from Kafka, and sees what waits.
type cutter struct {
	*session

	c    *partitionCmd
	cuts cutCounts // what strike has counted
}

// cutCounts are what was seen of the cuts while they lasted and thereafter.
type cutCounts struct {
	Cuts      int           `json:"cuts"`
	Stood     int           `json:"stood_still"`         // in which nothing was published while events were written
	Pending   int64         `json:"most_pending"`        // events that waited, at a moment
	Recovery  time.Duration `json:"longest_recovery_ns"` // from the end of a cut until all that had been written by then was published
	Takeovers int           `json:"takeovers"`           // from a relay that had given up
}

// cutToll is what the cuts came to.
type cutToll struct {
	cutCounts
	toll
}

func (k *cutter) strike(ctx context.Context) error {
	for range k.c.Times {
		if err := ops.Sleep(ctx, k.c.Every+rand.N(k.c.Every/4+1)); err != nil { // not a secret
			return err
		}
		if err := k.cut(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cut cuts the relay that publishes off and waits until what has piled up is published and all is as before.
func (k *cutter) cut(ctx context.Context) error {
	victim, err := k.publisher(ctx)
	if err != nil {
		return err
	}
	k.screen.Notice("%s is cut off from Kafka, for %s", victim.Name(), k.c.For)
	mended := make(chan error, 1)
	go func() { mended <- k.Partition(ctx, victim.Name(), k.c.For) }()
	stood, err := k.stoodStill(ctx, mended)
	if err != nil {
		return err
	}
	k.screen.Notice("%s reaches Kafka again", victim.Name())
	k.cuts.Cuts++
	if stood {
		k.cuts.Stood++
	}
	if err := k.recovered(ctx); err != nil {
		return err
	}
	now, err := k.publisher(ctx)
	if err == nil && now != victim {
		k.cuts.Takeovers++
	}
	return err
}

// stoodStill reads the status until the cut is over, and says whether what waited at one reading still waited at the
// next, and more had come.
func (k *cutter) stoodStill(ctx context.Context, mended <-chan error) (stood bool, err error) {
	last, err := k.next(ctx, time.Now())
	for err == nil {
		select {
		case err := <-mended:
			return stood, err
		default:
		}
		var now *reading
		if now, err = k.next(ctx, last.at); err != nil {
			break
		}
		k.cuts.Pending = max(k.cuts.Pending, now.Pending)
		stood = stood || now.Published == last.Published && last.Written > last.Published && now.Written > last.Written
		last = now
	}
	return stood, errors.Join(err, ignoreCancel(<-mended))
}

// recovered waits until all that is written at the first reading is published.
func (k *cutter) recovered(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, comeback,
		fmt.Errorf("what waited is not published %s after the cut: the relays' logs say why", comeback))
	defer cancel()
	began := time.Now()
	first, err := k.next(ctx, began)
	for now := first; err == nil && now.Published < first.Written; {
		now, err = k.next(ctx, now.at)
	}
	k.cuts.Recovery = max(k.cuts.Recovery, time.Since(began))
	return err
}

func (k *cutter) toll(ctx context.Context) (fmt.Stringer, error) {
	common, err := k.takeToll(ctx, 0)
	return cutToll{k.cuts, common}, err
}

// String is a few lines.
func (t cutToll) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d cuts: publishing stood still in %d, with up to %d events waiting; all were published %.1f s after a cut at the latest\n",
		t.Cuts, t.Stood, t.Pending, t.Recovery.Seconds())
	fmt.Fprintf(&b, "%d times another relay took over from the one that was cut off\n", t.Takeovers)
	return b.String() + t.toll.String()
}

func (k *cutter) judge(r audit.Report) error {
	return proven(r, k.cuts.Stood > 0, "no cut was felt: publishing never stood still while events were written, so this proves nothing; "+
		"try a longer --for or a higher --rate")
}
