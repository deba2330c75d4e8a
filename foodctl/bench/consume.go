package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/foodctl/broker"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// ends is a position behind everything in each of a topic's partitions.
type ends [topic.Partitions]int64

// ends looks up where a topic ends now.
func (s *servers) ends(ctx context.Context, name string) (e ends, err error) {
	listed, err := kadm.NewClient(s.client).ListEndOffsets(ctx, name)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return e, fmt.Errorf("end of topic %s: %w", name, err)
	}
	for p := range e {
		found, has := listed.Lookup(name, int32(p))
		if !has {
			return e, fmt.Errorf("topic %s: partition %d was not listed", name, p)
		}
		e[p] = found.Offset
	}
	return e, nil
}

func (e ends) reached(all ends) bool {
	for p, end := range all {
		if e[p] < end {
			return false
		}
	}
	return true
}

// consume reads what was committed from one position to another, as any read_committed reader does.
func (s *servers) consume(ctx context.Context, name string, from, to ends, visit func(*kgo.Record)) error {
	client, err := s.consumer(ctx, name, from, kgo.KeepControlRecords()) // or a log that ends in a marker would never be read up
	if err != nil {
		return err
	}
	defer client.Close()
	for next := from; !next.reached(to); {
		fetches, err := poll(ctx, client)
		if err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				visit(r)
			}
		})
	}
	return nil
}

// poll waits for records, for as long as there is patience: the end of a log that holds an open transaction never
// comes.
func poll(ctx context.Context, client *kgo.Client) (kgo.Fetches, error) {
	late := fmt.Errorf("nothing comes for %s, and this is not its end", patience)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	fetches := client.PollFetches(ctx)
	err := fetches.Err()
	if err != nil {
		err = fmt.Errorf("read the topic: %w", cmp.Or(context.Cause(ctx), err))
	}
	return fetches, err
}

// consumer connects a read_committed consumer that begins at a position. The caller must close it.
func (s *servers) consumer(ctx context.Context, name string, from ends, opts ...kgo.Opt) (*kgo.Client, error) {
	offsets := make(map[int32]kgo.Offset, len(from))
	for p, offset := range from {
		offsets[int32(p)] = kgo.NewOffset().At(offset)
	}
	return broker.Connect(ctx, s.Brokers, append(opts,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: offsets}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMinBytes(1),
		kgo.FetchMaxWait(500*time.Millisecond),
	)...)
}
