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

	"github.com/jackc/pgx/v5"
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

	// MaxBlocked is the number of orders with dead letters in a partition at most, beside those that ever had some in the live one.
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
	return &Rebuild{Config: cfg, live: live, pool: pool}
}

// ErrDiffers is returned when the new read model is not the live one's equal, and nothing was cut over.
var ErrDiffers = errors.New("the new read model differs from the live one: look into it, then give --accept to have it live all the same, or projector rebuild discard")

// Run makes the read model, or goes on with one that was begun, compares it and cuts over to it.
func (r *Rebuild) Run(ctx context.Context) error {
	blocked, err := r.blocked(ctx)
	if err != nil {
		return err
	}
	r.view = view.New(r.pool, r.Topic, blocked)
	if err := r.begin(ctx); err != nil {
		return err
	}
	if r.feed, err = r.open(ctx); err != nil {
		return err
	}
	defer r.feed.close()
	if err := r.approach(ctx); err != nil {
		return err
	}
	if !r.Overtake {
		if err := r.compare(ctx); err != nil {
			return err
		}
	}
	return r.cutOver(ctx)
}

// approach applies what the live read model has, until little of it is left.
func (r *Rebuild) approach(ctx context.Context) error {
	stop := r.watch(ctx)
	defer stop()
	for {
		target, err := r.target(ctx, r.live)
		if err != nil {
			return err
		}
		left := r.feed.position().behind(target)
		if err := r.advance(ctx, target); err != nil {
			return err
		}
		if left <= few {
			return nil
		}
	}
}

// reach applies what the live read model has, and nothing else.
func (r *Rebuild) reach(ctx context.Context, live pgx.Tx) (vector, error) {
	at, err := r.target(ctx, live)
	if err != nil {
		return nil, err
	}
	if err := r.advance(ctx, at); err != nil {
		return nil, err
	}
	if r.Overtake {
		return nil, nil // what is there between its offsets and the end is Kafka's markers
	}
	return at, nil
}

// target is up to where to go: where the live read model is, or the end of the topic.
func (r *Rebuild) target(ctx context.Context, live querier) (vector, error) {
	if r.Overtake {
		return r.feed.ends(ctx)
	}
	return offsets(ctx, live, view.Live, r.Topic)
}

// advance applies the events below the target and no others, the partitions side by side, and settles the letters.
func (r *Rebuild) advance(ctx context.Context, target vector) error {
	g, parts := errgroup.WithContext(ctx)
	for _, part := range slices.Sorted(maps.Keys(target)) {
		p := r.feed.parts[part]
		if p == nil {
			return fmt.Errorf("partition %d has a position in the live read model and the topic has no such partition", part)
		}
		g.Go(func() error { return p.advance(parts, target[part]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return settle(ctx, r.live, view.Rebuild, r.view, r.Topic)
}

func (r *Rebuild) say(format string, args ...any) { fmt.Fprintf(r.Progress, format+"\n", args...) }
