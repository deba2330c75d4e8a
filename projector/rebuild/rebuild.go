// Package rebuild makes a read model anew beside the live one, and cuts over to it.
//
// It promises that readers and projectors see one read model or the other, never a mixture; that the new one is at the offsets of the
// live one, or further, when it takes its place; and that a rebuild that is killed at any point has changed nothing that is live, and
// goes on when it is begun again. While both are at the same offsets they are compared, row by row (I10).
//
// The tables that are being made are in a schema of their own, with their own offsets and claims: what keeps an event from being
// applied twice to the live read model (I8) keeps it from being applied twice to the new one.
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// Config says what is made anew, and of what.
type Config struct {
	Brokers  []string // host:port
	Security kafka.Security
	Topic    string
	Owner    string // who this process is, for people who read projection_offsets

	// Outbox, if not empty, is the orders database, from whose outbox the events come that the topic no longer has.
	Outbox string

	// Overtake goes on to the end of the topic though the live read model stands behind, and compares nothing: for one that has
	// stopped.
	Overtake bool

	// Accept cuts over also where the new read model differs from the live one.
	Accept bool

	// MaxBlocked is the number of orders with dead letters in a partition at most.
	MaxBlocked int

	Progress io.Writer // for people
	Log      *slog.Logger
}

// Rebuild is a rebuild that is under way.
type Rebuild struct {
	Config

	live *pgxpool.Pool // sees the live tables
	pool *pgxpool.Pool // sees the new ones
	view *view.View    // of the new ones
	feed *feed
}

// New makes a rebuild between two pools, of view.Connect and of view.ConnectTo the schema view.Rebuild. Nothing is begun before Run.
func New(cfg Config, live, pool *pgxpool.Pool) *Rebuild {
	return &Rebuild{Config: cfg, live: live, pool: pool, view: view.New(pool, cfg.Topic, cfg.MaxBlocked)}
}

// ErrDiffers is returned when the new read model is not the live one's equal, and nothing was cut over.
var ErrDiffers = errors.New("the new read model differs from the live one: look into it, then give --accept to have it live all the same, or projector rebuild discard")

// few is how many offsets the new read model may be behind before the live one is held for it: a moment's work.
const few = 2000

// Run makes the read model, or goes on with one that was begun, compares it and cuts over to it.
func (r *Rebuild) Run(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	feed, err := r.open(ctx)
	if err != nil {
		return err
	}
	r.feed = feed
	defer feed.close()
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() { stop(feed.poll(reading)) }()
	if err := r.make(reading); err != nil {
		if cause := context.Cause(reading); ctx.Err() == nil && cause != nil {
			return cause
		}
		return err
	}
	return nil
}

func (r *Rebuild) make(ctx context.Context) error {
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	if !r.Overtake {
		if err := r.compare(ctx); err != nil {
			return err
		}
	}
	return r.cutOver(ctx)
}

// catchUp applies what the live read model has, until little of it is left.
func (r *Rebuild) catchUp(ctx context.Context) error {
	progress := r.watch(ctx)
	defer progress.stop()
	for {
		target, err := r.target(ctx, r.live)
		if err != nil {
			return err
		}
		left := r.feed.behind(target)
		if err := r.advance(ctx, target); err != nil {
			return err
		}
		if left <= few {
			return nil
		}
	}
}

// target is up to where to go: where the live read model is, or the end of the topic.
func (r *Rebuild) target(ctx context.Context, live querier) (vector, error) {
	if r.Overtake {
		return r.feed.ends(ctx)
	}
	return offsets(ctx, live, selectOffsets, r.Topic)
}

// advance applies the events below the target and no others, the partitions side by side.
func (r *Rebuild) advance(ctx context.Context, target vector) error {
	g, side := errgroup.WithContext(ctx)
	for _, part := range slices.Sorted(maps.Keys(target)) {
		p := r.feed.parts[part]
		if p == nil {
			return fmt.Errorf("partition %d has a position in the live read model and the topic has no such partition", part)
		}
		g.Go(func() error { return p.advance(side, target[part]) })
	}
	err := g.Wait()
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errSlow) {
		return errSlow // whatever it was cut off in
	}
	return err
}

// settle does with the letters what was done with the live read model's: gives up those that were given up, and applies those that can
// be applied by now.
func (r *Rebuild) settle(ctx context.Context) error {
	if _, err := r.live.Exec(ctx, copyDiscards, r.Topic); err != nil {
		return fmt.Errorf("dead letters that were discarded: %w", err)
	}
	letters, err := r.view.Letters(ctx, view.Which{State: "waiting"})
	if err != nil {
		return err
	}
	for _, order := range orders(letters) {
		if _, err := r.view.Redrive(ctx, order, decode); err != nil {
			return err
		}
	}
	return nil
}

const copyDiscards = `
UPDATE rebuild.dead_letters AS n
SET state = l.state,
    settled_at = l.settled_at,
    note = l.note
FROM dead_letters AS l
WHERE l.topic = $1
  AND l.state = 'discarded'
  AND n.state = 'waiting'
  AND (n.topic, n.part, n.record_offset) = (l.topic, l.part, l.record_offset)`

func (r *Rebuild) say(format string, args ...any) { fmt.Fprintf(r.Progress, format+"\n", args...) }

// pause waits between two tries of what something else holds up.
const pause = 100 * time.Millisecond
