package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// decided are transactions of one producer whose end the coordinator has decided on: those with the epochs from up to, but
// without, to. The zero value is none.
//
// A decision must reach every partition as a marker, and does not always. While a partition has no leader, Apache Kafka 4.3
// takes it for deleted and leaves its marker out (KAFKA-20734): a broker without replicas that is stopped within
// milliseconds of a commit does so with all of them. The transaction counts as ended, nobody will ever write the marker,
// and whoever reads committed records waits in front of it. To abort it, as one does with a hanging transaction, would lose
// what was committed. So the relay writes the marker, and only the one that was decided on.
type decided struct {
	producer int64
	from, to int16
	commit   bool
	done     bool // the coordinator has sent the markers that it will send
}

// lastDecided asks the coordinator about the last transaction of a transactional id. An end raises the epoch by one, so
// that a decision is at the epoch behind its transaction's (KIP-890).
func lastDecided(ctx context.Context, admin *kadm.Client, id string) (decided, error) {
	all, err := admin.DescribeTransactions(ctx, id)
	last := all[id]
	if errors.Is(last.Err, kerr.TransactionalIDNotFound) {
		return decided{}, nil
	}
	if err = errors.Join(err, last.Err); err != nil {
		return decided{}, fmt.Errorf("the last transaction of %s: %w", id, err)
	}
	phase, commit := strings.CutSuffix(last.State, "Commit")
	phase, abort := strings.CutSuffix(phase, "Abort")
	if !commit && !abort { // Empty: nothing since a start; Ongoing: nothing is decided
		return decided{}, nil
	}
	return decided{last.ProducerID, last.ProducerEpoch - 1, last.ProducerEpoch, commit, phase == "Complete"}, nil
}

// complete writes the markers that are missing in the partitions that know these producers. The coordinator must have sent
// all of its own: a second marker would end the producer's next transaction.
func (d decided) complete(ctx context.Context, admin *kadm.Client, log *slog.Logger, known []kadm.DescribedProducer) error {
	for _, p := range known {
		if p.ProducerID != d.producer || p.CurrentTxnStartOffset < 0 || p.ProducerEpoch < d.from || p.ProducerEpoch >= d.to {
			continue
		}
		log.Warn("a marker that the broker left out is written", "topic", p.Topic, "partition", p.Partition,
			"offset", p.CurrentTxnStartOffset, "committed", d.commit)
		if err := writeMarker(ctx, admin, p, p.ProducerEpoch+1, d.commit); err != nil {
			return fmt.Errorf("%s, which is ended but not there: %w", Hanging(p), err)
		}
	}
	return nil
}

// writeMarker ends a producer's transaction in one partition.
func writeMarker(ctx context.Context, admin *kadm.Client, p kadm.DescribedProducer, epoch int16, commit bool) error {
	set := make(kadm.TopicsSet)
	set.Add(p.Topic, p.Partition)
	answers, err := admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{
		ProducerID: p.ProducerID, ProducerEpoch: epoch, Commit: commit, CoordinatorEpoch: max(0, p.CoordinatorEpoch), Topics: set,
	})
	answers.EachPartition(func(p kadm.TxnMarkersPartitionResponse) { err = errors.Join(err, p.Err) })
	return err
}

// settle completes what this producer has committed, where markers were left out while it lives on. It is called when
// nothing is being sent. While a transaction is open, its markers are on their way, or a broker does not answer, it leaves it
// to the next time.
func (s *sender) settle(ctx context.Context) {
	if s.settled == s.epoch {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin) // the next transaction waits for it
	defer cancel()
	admin := kadm.NewClient(s.client)
	last, err := lastDecided(ctx, admin, s.id)
	if err == nil && (!last.done || !last.commit || last.producer != s.producer || last.to != s.epoch) {
		return
	}
	var known []kadm.DescribedProducer
	if err == nil {
		known, err = describe(ctx, admin, slices.Collect(maps.Keys(s.topics))...)
	}
	if err == nil {
		last.from = s.opened // each was begun when the one before was committed
		err = last.complete(ctx, admin, s.log, known)
	}
	if err != nil {
		s.log.Debug("not known whether the broker has ended every transaction", "err", err)
		return
	}
	s.settled = s.epoch
}
