package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Hanging is a transaction that a partition holds open and no coordinator will end: readers of committed records wait in
// front of it for ever. A broker without replicas leaves it that lost its power, and with it the end of a partition's log
// but not as much of its notes about transactions, or the other way round.
type Hanging kadm.DescribedProducer

// String says which transaction it is.
func (h Hanging) String() string {
	return fmt.Sprintf("partition %d of %s holds a transaction of producer %d, epoch %d, open since offset %d",
		h.Partition, h.Topic, h.ProducerID, h.ProducerEpoch, h.CurrentTxnStartOffset)
}

// FindHanging finds the hanging transactions of topics. The transactional id must have been taken over before: that ends
// what the coordinator knows to be open.
//
// The order is the proof. A coordinator knows of a transaction before any partition does, and forgets it when it has written all
// markers that it will write. So one that a partition has open and then no coordinator knows has ended in between, and is gone
// from the partition when that is asked again; or it hangs. Without the second look a transaction whose last marker arrives just now
// would be taken for one that hangs: refused, or aborted.
func FindHanging(ctx context.Context, client *kgo.Client, topics ...string) ([]Hanging, error) {
	if len(topics) == 0 { // which would be asked as all
		return nil, nil
	}
	admin := kadm.NewClient(client)
	open, err := openIn(ctx, admin, topics)
	if err != nil {
		return nil, err
	}
	unattended := make(map[Hanging]bool)
	for _, h := range open {
		attended, err := attended(ctx, admin, h.ProducerID)
		if err != nil {
			return nil, fmt.Errorf("transactions of producer %d: %w", h.ProducerID, err)
		}
		if !attended {
			unattended[h.transaction()] = true
		}
	}
	if len(unattended) == 0 {
		return nil, nil
	}
	open, err = openIn(ctx, admin, topics)
	return slices.DeleteFunc(open, func(h Hanging) bool { return !unattended[h.transaction()] }), err
}

// transaction is h without what can change while it is open.
func (h Hanging) transaction() Hanging {
	return Hanging{Topic: h.Topic, Partition: h.Partition, ProducerID: h.ProducerID, CurrentTxnStartOffset: h.CurrentTxnStartOffset}
}

// openIn are the transactions that partitions hold open, hanging or not.
func openIn(ctx context.Context, admin *kadm.Client, topics []string) (open []Hanging, err error) {
	producers, err := describe(ctx, admin, topics...)
	for _, p := range producers {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, Hanging(p))
		}
	}
	return open, err
}

// Owns says whether a transaction is one that this producer has begun. It sees to the end of those itself (see settle).
func (p *Producer) Owns(h Hanging) bool {
	p.sender.mu.Lock()
	defer p.sender.mu.Unlock()
	former := p.sender.former // whose id's epochs were used up
	return h.ProducerID == p.sender.producer && h.ProducerEpoch >= p.sender.opened ||
		h.ProducerID == former.producer && h.ProducerEpoch >= former.from && h.ProducerEpoch < former.to
}

// describe says what the partitions of topics know of their producers.
func describe(ctx context.Context, admin *kadm.Client, topics ...string) ([]kadm.DescribedProducer, error) {
	set := make(kadm.TopicsSet)
	set.MergeTopics(topics)
	described, err := admin.DescribeProducers(ctx, set)
	described.EachPartition(func(p kadm.DescribedProducersPartition) { err = errors.Join(err, p.Err) })
	if err != nil {
		return nil, fmt.Errorf("producers of %s: %w", strings.Join(topics, ", "), err)
	}
	return described.SortedProducers(), nil
}

// attended says whether a coordinator knows that the producer has a transaction open. It will end it, or another's relay
// will.
func attended(ctx context.Context, admin *kadm.Client, producer int64) (bool, error) {
	known, err := admin.ListTransactions(ctx, []int64{producer}, []string{"Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"})
	return len(known) > 0, err
}

// EndHanging aborts hanging transactions, as kafka-transactions.sh abort does.
func EndHanging(ctx context.Context, client *kgo.Client, hanging []Hanging) error {
	admin := kadm.NewClient(client)
	for _, h := range hanging {
		if err := writeMarker(ctx, admin, kadm.DescribedProducer(h), false); err != nil {
			return fmt.Errorf("%s, which has to be aborted (the broker's kafka-transactions.sh abort does so too): %w", h, err)
		}
	}
	return nil
}
