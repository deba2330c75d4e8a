package rebuild

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kslog"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// vector is an offset by partition: that of the next record.
type vector map[int32]int64

const (
	// batch is the number of events in a transaction at most: large enough that COPY writes what is new.
	batch = 20_000
	// ahead is how many polls of a partition wait to be applied.
	ahead = 4
)

// decode reads a dead letter again.
func decode(r view.Record, at view.Place) view.Event { return consumer.Decode(r, at) }

// feed reads the topic: every partition, in no group.
type feed struct {
	topic  string
	opts   []kgo.Opt
	client *kgo.Client // after read
	admin  *kadm.Client
	parts  map[int32]*part
}

// part applies one partition's records.
type part struct {
	number  int32
	log     *slog.Logger
	state   *view.Partition
	records chan []*kgo.Record
	pending []*kgo.Record // taken from records, and not yet applied
	seen    int64         // everything below has been applied or is no event
}

// open claims all partitions of the new read model and begins to read where it is.
func (r *Rebuild) open(ctx context.Context) (*feed, error) {
	f, err := r.connect()
	if err != nil {
		return nil, err
	}
	starts, err := r.claim(ctx, f)
	if err == nil {
		err = f.read(starts)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (r *Rebuild) connect() (*feed, error) {
	opts := append(r.Security.Options(),
		kgo.SeedBrokers(r.Brokers...), kgo.ClientID("projector-rebuild"), kgo.WithLogger(kslog.New(ops.Library(r.Log.WithGroup("kafka")))))
	admin, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return &feed{topic: r.Topic, opts: opts, admin: kadm.NewClient(admin), parts: make(map[int32]*part)}, nil
}

func (r *Rebuild) claim(ctx context.Context, f *feed) (map[int32]kgo.Offset, error) {
	log, err := f.bounds(ctx)
	if err != nil {
		return nil, err
	}
	claimed, refused, err := r.view.Claim(ctx, r.Owner, log)
	for _, why := range refused {
		err = errors.Join(err, why)
	}
	if err != nil {
		return nil, fmt.Errorf("the new read model: %w\n(here, that is projector rebuild discard, and then projector rebuild, with --from-outbox if the topic has lost events)", err)
	}
	starts := make(map[int32]kgo.Offset)
	for number, state := range claimed {
		offset, epoch := state.Next()
		starts[number] = kgo.NewOffset().At(offset).WithEpoch(epoch)
		f.parts[number] = &part{number: number, log: r.Log, state: state, records: make(chan []*kgo.Record, ahead), seen: offset}
	}
	return starts, nil
}

// read begins to read the topic.
func (f *feed) read(starts map[int32]kgo.Offset) (err error) {
	f.client, err = kgo.NewClient(append(f.opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: starts}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that it is seen when a partition is at its end
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(16<<20), kgo.FetchMaxPartitionBytes(4<<20),
	)...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	return nil
}

func (f *feed) close() {
	if f.client != nil {
		f.client.Close()
	}
	f.admin.Close()
}

// bounds asks the broker what it has of the topic.
func (f *feed) bounds(ctx context.Context) (view.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	metadata, err := f.admin.Metadata(ctx, f.topic)
	if err == nil {
		err = metadata.Topics[f.topic].Err
	}
	if err != nil {
		return view.Log{}, fmt.Errorf("metadata of topic %s: %w", f.topic, err)
	}
	starts, err := f.admin.ListStartOffsets(ctx, f.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return view.Log{}, fmt.Errorf("start offsets of topic %s: %w", f.topic, err)
	}
	ends, err := f.ends(ctx)
	if err != nil {
		return view.Log{}, err
	}
	log := view.Log{TopicID: uuid.UUID(metadata.Topics[f.topic].ID), Bounds: make(map[int32]view.Bounds)}
	starts.Each(func(o kadm.ListedOffset) {
		log.Bounds[o.Partition] = view.Bounds{Start: o.Offset, End: ends[o.Partition]}
	})
	return log, nil
}

// ends are where a read_committed reader comes to the topic's end.
func (f *feed) ends(ctx context.Context) (vector, error) {
	listed, err := f.admin.ListCommittedOffsets(ctx, f.topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("end of topic %s: %w", f.topic, err)
	}
	ends := make(vector)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}

// poll hands records to the partitions until ctx ends. It returns what the client cannot mend.
func (f *feed) poll(ctx context.Context) error {
	for {
		fetches := f.client.PollRecords(ctx, 4*batch)
		if err := ctx.Err(); err != nil {
			return nil //nolint:nilerr // told to end
		}
		var lost error
		fetches.EachError(func(topic string, part int32, err error) {
			lost = errors.Join(lost, fmt.Errorf("fetch partition %d of topic %s: %w", part, topic, err))
		})
		if lost != nil {
			return lost
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return
			}
			select {
			case f.parts[p.Partition].records <- p.Records:
			case <-ctx.Done():
			}
		})
	}
}

// behind is how many offsets are missing to the target, of all partitions together.
func (f *feed) behind(target vector) (n int64) {
	for part, offset := range target {
		if p := f.parts[part]; p != nil {
			n += max(0, offset-p.seen)
		}
	}
	return n
}

// advance applies the records below the target, and none at or above it.
func (p *part) advance(ctx context.Context, target int64) error {
	for p.seen < target {
		if len(p.pending) == 0 {
			select {
			case p.pending = <-p.records:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		n := 0
		for n < len(p.pending) && n < batch && p.pending[n].Offset < target {
			n++
		}
		if n == 0 { // nothing is below it but what an aborted transaction has left
			p.seen = target
			return nil
		}
		if err := p.apply(ctx, p.pending[:n]); err != nil {
			return err
		}
		p.seen = p.pending[n-1].Offset + 1
		p.pending = p.pending[n:]
	}
	return nil
}

func (p *part) apply(ctx context.Context, records []*kgo.Record) error {
	b := consumer.Batches{
		Done: func(_ []view.Event, done view.Applied) {
			for _, l := range done.Parked {
				p.log.WarnContext(ctx, "event parked in the new read model", "partition", p.number, "offset", l.Offset, "order_id", l.Order.String(),
					"version", l.Version, "reason", string(l.Reason), "err", l.Err)
			}
		},
		Failed: func(n, events int, err error) error {
			if n == 10 {
				return err
			}
			p.log.WarnContext(ctx, "batch of the new read model not applied, trying again", "partition", p.number, "events", events, "err", err)
			return ops.Sleep(ctx, time.Duration(n)*pause)
		},
	}
	if err := b.Apply(ctx, p.state, consumer.Events(records)); err != nil {
		if errors.Is(err, view.ErrFenced) {
			err = fmt.Errorf("another rebuild has gone on with this one: %w", err)
		}
		return err
	}
	return nil
}
