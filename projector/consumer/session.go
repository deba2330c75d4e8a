package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/plugin/kslog"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
)

const (
	// leaveTimeout bounds how long a member that stops waits for its batches in hand and for the group.
	leaveTimeout = 15 * time.Second
	// drainTimeout bounds how long a partition that is taken away may take to finish its batch in hand.
	drainTimeout = 8 * time.Second
	// mirrorTimeout bounds the last copy of the offsets to the group.
	mirrorTimeout = 2 * time.Second
	// fencedWait is how long a fenced member waits for the group to take the partition away before it leaves and joins
	// again. A rebalance that is under way needs less.
	fencedWait = 10 * time.Second
	// queuedBatches is how many batches a partition queues: enough that the database never waits for the broker. A record takes some
	// 2 KB until it is applied, so this and the size of a fetch are most of the program's memory.
	queuedBatches = 1
	// stalled is how long a full partition may hold up the member's other ones.
	stalled = 500 * time.Millisecond
)

// errRejoin ends a session that a new one can mend.
var errRejoin = errors.New("the group is joined again")

// errOthers ends a session whose partition somebody else owns, while the group still assigns it to this member.
var errOthers = fmt.Errorf("the partition has another owner, but the group still assigns it to this member: %w", errRejoin)

// session is one membership of the group: one Kafka client, and a worker for each partition that it has claimed.
type session struct {
	*Consumer

	owner  string
	log    *slog.Logger
	client *kgo.Client
	admin  *kadm.Client
	ready  chan struct{} // closed when client and admin are set: callbacks run from before NewClient returns
	quit   context.CancelCauseFunc

	mu      sync.Mutex // guards workers
	workers map[int32]*worker
}

// session runs one until ctx ends or a new one is needed, and leaves the group.
func (c *Consumer) session(ctx context.Context, id int, log *slog.Logger) error {
	polling, quit := context.WithCancelCause(ctx)
	defer quit(nil)
	s := &session{
		Consumer: c, owner: c.cfg.Owner + "/" + strconv.Itoa(id), log: log,
		ready: make(chan struct{}), quit: quit, workers: make(map[int32]*worker),
	}
	client, err := kgo.NewClient(append(s.options(id),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			c.metrics.rebalances.Inc()
			c.status.joined(id, nil)
		}),
		kgo.AdjustFetchOffsetsFn(s.claim),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { s.revoked(ctx, parts[c.cfg.Topic]) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { s.lost(parts[c.cfg.Topic]) }),
	)...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	s.client, s.admin = client, kadm.NewClient(client)
	close(s.ready)

	var watching sync.WaitGroup
	watching.Go(func() { s.watchLag(polling) })
	s.poll(polling)
	err = context.Cause(polling)
	quit(nil)
	watching.Wait()
	s.leave(ctx)
	return err
}

func (s *session) options(id int) []kgo.Opt {
	opts := append(s.cfg.Security.Options(),
		kgo.SeedBrokers(s.cfg.Brokers...),
		kgo.ClientID("projector"),
		kgo.WithLogger(kslog.New(ops.Library(s.log.WithGroup("kafka")))),
		kgo.ConsumerGroup(s.cfg.Group),
		kgo.ConsumeTopics(s.cfg.Topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(s.cfg.SessionTimeout),
		kgo.HeartbeatInterval(s.cfg.SessionTimeout/4),
		kgo.RebalanceTimeout(30*time.Second),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that the position reaches the end of the log, and lag 0, also behind a marker
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMaxBytes(2<<20), kgo.FetchMaxPartitionBytes(256<<10), // compressed
		// Fail closed: a partition that the claim gave no offset is never consumed from a default one. It opts into
		// NoResetOffset too: an offset out of range is an error, not a jump.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtCommitted()),
		// Between a poll and AllowRebalance no partition changes hands: the records get to the worker of their claim.
		kgo.BlockRebalanceOnPoll(),
		// The group's offsets are a copy: marked after the database's commit, sent now and then, and a
		// failure is of no consequence.
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second),
		kgo.AutoCommitCallback(func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {}),
	)
	if s.cfg.Instance != "" {
		opts = append(opts, kgo.InstanceID(s.cfg.Instance+"-"+strconv.Itoa(id)))
	}
	return opts
}

// poll hands records to the workers until ctx ends.
func (s *session) poll(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := s.client.PollRecords(ctx, s.cfg.MaxBatch)
		fetches.EachError(s.failed) // first: what follows a loss of data must find its worker stopped
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if w := s.worker(p.Partition); w != nil && len(p.Records) > 0 {
				w.give(p.Records)
			}
		})
		s.client.AllowRebalance()
		s.waitForRoom(ctx)
	}
}

// waitForRoom lets no partition queue more than one poll beyond its limit. Rebalances may happen meanwhile. A partition
// that makes no room is paused, so that it holds up the others once and not at every poll.
func (s *session) waitForRoom(ctx context.Context) {
	for _, w := range s.all() {
		if w.room(ctx, stalled) {
			continue
		}
		s.client.PauseFetchPartitions(map[string][]int32{s.cfg.Topic: {w.part}})
		w.whenEmpty(func() { s.client.ResumeFetchPartitions(map[string][]int32{s.cfg.Topic: {w.part}}) })
	}
}

// failed takes an error that the client cannot mend by itself.
func (s *session) failed(topic string, part int32, err error) {
	var group *kgo.ErrGroupSession
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
	case errors.As(err, &group):
		s.log.Warn("group session lost, joining again", "err", err)
	case topic == s.cfg.Topic && part >= 0:
		if w := s.worker(part); w != nil {
			w.cancel()
		}
		s.stop(part, fmt.Errorf("fetch: %w", err))
	default:
		s.log.Warn("records not fetched", "topic", topic, "partition", part, "err", err)
	}
}

// stop makes it known that a partition is not consumed any more, and drops what is still fetched of it.
func (s *session) stop(part int32, err error) {
	s.client.PauseFetchPartitions(map[string][]int32{s.cfg.Topic: {part}})
	s.metrics.stopped.WithLabelValues(label(part)).Set(1)
	s.status.stop(part, err)
	s.log.Error("partition stopped", "partition", part, "err", err, "remedy", remedy(err))
}

// leave ends the membership in stages: the batches in hand are finished (by revoked, which leaving calls), then the group
// is told, then what is still there is cut off.
func (s *session) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := s.client.LeaveGroupContext(ctx); err != nil {
		s.log.Warn("group not left in order", "err", err)
	}
	s.lost(s.parts())
	s.client.Close()
}

func (s *session) worker(part int32) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers[part]
}

func (s *session) all() []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		all = append(all, w)
	}
	return all
}

func (s *session) parts() []int32 {
	var parts []int32
	for _, w := range s.all() {
		parts = append(parts, w.part)
	}
	slices.Sort(parts)
	return parts
}
