package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// Config is what the members of one process share.
type Config struct {
	Brokers  []string // host:port
	Security kafka.Security
	Topic    string
	Group    string
	Members  int    // group members in this process, at least 1; more than there are partitions stand by
	Owner    string // who this process is, for people who read projection_offsets

	// Instance is a name of this process that stays the same over its restarts, and that no other process has. A member
	// that comes back under its name within the session timeout has its partitions again at once; one that stops for good
	// keeps its seat until then. Empty: each start is a new member, one that stops leaves at once, and after a kill the
	// partitions wait for the session timeout.
	Instance string

	// SessionTimeout is how long the group waits for a member's sign of life before its partitions move. Lower moves them
	// sooner after a crash, and sooner for nothing when a machine is slow.
	SessionTimeout time.Duration

	// Former says that the read model is one that was live before, whose tables may be dropped at any time: that is no fault.
	Former bool

	// MaxBatch is the number of events in a transaction at most. Higher is faster when behind, and holds the partition's
	// row longer.
	MaxBatch int
}

// Health is told which parts of the consumer are ready; nil means ready.
type Health interface {
	Set(part string, err error)
}

// Parts are the names that a Health is told about.
var Parts = []string{"group", "partitions", "progress"}

// Consumer consumes a topic into a view.
type Consumer struct {
	cfg     Config
	view    *view.View
	log     *slog.Logger
	metrics *Metrics
	status  *status
}

// New makes a Consumer. Nothing is connected before Run.
func New(cfg Config, v *view.View, log *slog.Logger, m *Metrics, h Health) *Consumer {
	return &Consumer{cfg: cfg, view: v, log: log, metrics: m, status: newStatus(cfg.Members, h)}
}

// Run consumes until ctx ends; then the members finish the batch in hand and leave the group, and Run returns nil.
func (c *Consumer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for id := range c.cfg.Members {
		g.Go(func() error { return c.member(ctx, id) })
	}
	return g.Wait()
}

// member is in the group, in one session after the other, until ctx ends.
func (c *Consumer) member(ctx context.Context, id int) error {
	log := c.log.With("member", id)
	for {
		err := c.session(ctx, id, log)
		c.status.joined(id, errNotJoined)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the session ended because it was told to
		}
		if !errors.Is(err, errRejoin) {
			return fmt.Errorf("group member %d: %w", id, err)
		}
		log.WarnContext(ctx, "left the group to join again", "err", err)
		if ops.Sleep(ctx, backoff(1)) != nil {
			return nil //nolint:nilerr // told to end while it waited
		}
	}
}

// backoff is how long to wait after the n-th failure in a row, n >= 1: doubling from 100 ms to 5 s, of which half is left to
// chance.
func backoff(n int) time.Duration {
	d := min(100*time.Millisecond<<min(n-1, 10), 5*time.Second)
	return d/2 + rand.N(d/2)
}
