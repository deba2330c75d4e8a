package rebuild

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kslog"

	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/projector/consumer"
	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

// batch is the number of events in a transaction at most: as a rule COPY writes what is new.
const batch = 10_000

// feed reads the topic in no group: each partition by a client of its own, so that one that has to stand still keeps none of the others
// from being fetched.
type feed struct {
	topic string
	opts  []kgo.Opt
	admin *kadm.Client
	parts map[int32]*part
}

// part applies one partition's records.
type part struct {
	number  int32
	log     *slog.Logger
	state   *view.Partition
	client  *kgo.Client
	pending []*kgo.Record // fetched, and not yet applied
	seen    int64         // everything below has been applied or is no event
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

// open claims all partitions of the new read model and begins to read where it is.
func (r *Rebuild) open(ctx context.Context) (*feed, error) {
	f, err := r.connect()
	if err != nil {
		return nil, err
	}
	if err := r.claim(ctx, f); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (r *Rebuild) claim(ctx context.Context, f *feed) error {
	log, err := consumer.Log(ctx, f.admin, f.topic)
	if err != nil {
		return err
	}
	claimed, refused, err := r.view.Claim(ctx, r.Owner, log)
	for _, why := range refused {
		err = errors.Join(err, why)
	}
	if err != nil {
		return fmt.Errorf("the new read model: %w\n(here, that is projector rebuild discard, and then projector rebuild, with --from-outbox if the topic has lost events)", err)
	}
	for number, state := range claimed {
		offset, epoch := state.Next()
		client, err := f.read(map[int32]kgo.Offset{number: kgo.NewOffset().At(offset).WithEpoch(epoch)})
		if err != nil {
			return err
		}
		f.parts[number] = &part{number: number, log: r.Log, state: state, client: client, seen: offset}
	}
	return nil
}

// read begins to read some partitions.
func (f *feed) read(starts map[int32]kgo.Offset) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(f.opts[:len(f.opts):len(f.opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.topic: starts}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that it is seen when a partition is at its end
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(2<<20), kgo.FetchMaxPartitionBytes(2<<20), // compressed
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return client, nil
}

func (f *feed) close() {
	for _, p := range f.parts {
		p.client.Close()
	}
	f.admin.Close()
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

// position is up to where the partitions are applied.
func (f *feed) position() vector {
	v := make(vector)
	for number, p := range f.parts {
		v[number] = p.seen
	}
	return v
}

// advance applies the records below the target, and none at or above it.
func (p *part) advance(ctx context.Context, target int64) error {
	for p.seen < target {
		if len(p.pending) == 0 {
			if err := p.poll(ctx); err != nil {
				return err
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

// poll waits for records. Its error is what the client cannot mend, or why ctx has ended.
func (p *part) poll(ctx context.Context) error {
	for len(p.pending) == 0 {
		fetches := p.client.PollRecords(ctx, batch)
		p.pending = fetches.Records()
		switch err := fetches.Err(); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("fetch partition %d: %w", p.number, err)
		}
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
	events := p.state.Unapplied(consumer.Events(records)) // part of a batch may be, of an attempt that was cut off
	if err := b.Apply(ctx, p.state, events); err != nil {
		if errors.Is(err, view.ErrFenced) {
			err = fmt.Errorf("another rebuild has gone on with this one: %w", err)
		}
		return err
	}
	return nil
}
