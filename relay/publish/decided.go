package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// decided are transactions of one producer, those with the epochs [from, to), whose end the coordinator has decided on. The
// zero value is none.
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

// lastDecided asks the coordinator about the last transaction of a transactional id that has ended. An end raises the epoch by
// one, so that a decision is found at the epoch behind its transaction's (KIP-890). Where the next transaction is open, the
// one before was committed: a relay ends none otherwise, and an abort by the coordinator takes the epoch from its producer.
func lastDecided(ctx context.Context, admin *kadm.Client, id string) (decided, error) {
	all, err := admin.DescribeTransactions(ctx, id)
	last := all[id]
	if errors.Is(last.Err, kerr.TransactionalIDNotFound) {
		return decided{done: true}, nil
	}
	if err = errors.Join(err, last.Err); err != nil {
		return decided{}, fmt.Errorf("the last transaction of %s: %w", id, err)
	}
	d := decided{producer: last.ProducerID, from: last.ProducerEpoch - 1, to: last.ProducerEpoch}
	switch last.State {
	case "PrepareCommit":
		d.commit = true
	case "PrepareAbort":
	case "CompleteCommit", "Ongoing":
		d.commit, d.done = true, true
	case "CompleteAbort":
		d.done = true
	default: // Empty: nothing since a start
		d.from, d.done = d.to, true
	}
	return d, nil
}

// complete writes the markers that are missing in the partitions, which know these producers. The coordinator must have sent
// all of its own.
//
// A marker has its transaction's epoch. With the next one, which the coordinator would have given it, it could arrive late
// and end half of the next transaction; with its own it is refused then.
func (d decided) complete(ctx context.Context, admin *kadm.Client, log *slog.Logger, known []kadm.DescribedProducer) error {
	for _, p := range known {
		if p.ProducerID != d.producer || p.CurrentTxnStartOffset < 0 || p.ProducerEpoch < d.from || p.ProducerEpoch >= d.to {
			continue
		}
		err := writeMarker(ctx, admin, p, d.commit)
		switch {
		case errors.Is(err, kerr.InvalidProducerEpoch): // a later transaction is in the partition by now, and will end this one too
			continue
		case errors.Is(err, kerr.ClusterAuthorizationFailed):
			return fmt.Errorf("%s, which the brokers have ended elsewhere (KAFKA-20734): give the relay the right to Alter the cluster, "+
				"for as long as it takes to end it here: %w", Hanging(p), err)
		case err != nil:
			return fmt.Errorf("end it, %s: %w", Hanging(p), err)
		}
		log.Warn("a marker that the broker left out was written", "topic", p.Topic, "partition", p.Partition,
			"offset", p.CurrentTxnStartOffset, "committed", d.commit)
	}
	return nil
}

// writeMarker ends a producer's transaction in one partition.
func writeMarker(ctx context.Context, admin *kadm.Client, p kadm.DescribedProducer, commit bool) error {
	set := make(kadm.TopicsSet)
	set.Add(p.Topic, p.Partition)
	answers, err := admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{
		ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, Commit: commit, CoordinatorEpoch: max(0, p.CoordinatorEpoch), Topics: set,
	})
	answers.EachPartition(func(p kadm.TxnMarkersPartitionResponse) { err = errors.Join(err, p.Err) })
	return err
}

// disconnects remembers that a connection was lost. It is a hook of the client.
type disconnects struct{ atomic.Bool }

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect.
func (d *disconnects) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { d.Store(true) }

// errUnsettled is why a batch waits.
var errUnsettled = errors.New("it is not known whether the brokers have ended the transactions before")

// sendSettled sends, after a broker was lost only when what was committed before is ended everywhere. Otherwise the batch
// could get into a transaction that a partition still holds open, and what aborts the one would abort the other.
func (s *sender) sendSettled(ctx context.Context, round []*sealed) (again, err error) {
	if s.lost.Swap(false) && !s.settle(ctx) {
		s.lost.Store(true)
		return errUnsettled, nil
	}
	return s.send(ctx, round)
}

// isLast says whether what the coordinator decided on last is the last that this producer has ended.
func (s *sender) isLast(d decided) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return d.producer == s.producer && d.to == s.epoch
}

// Latest says whether no other producer has taken the transactional id over since Open, so that nobody else has published in between.
// While a commit is under way it may say no.
func (p *Producer) Latest(ctx context.Context) (bool, error) {
	last, err := lastDecided(ctx, kadm.NewClient(p.client), p.config.TransactionalID)
	return p.sender.isLast(last), err
}

// settle completes what this producer has committed, where markers were left out while it lives on, and says whether all of it
// is ended everywhere now. It is called when no request of a transaction is under way.
func (s *sender) settle(ctx context.Context) bool {
	if s.settled == s.epoch && s.former == (decided{}) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	done, err := s.completeOwn(ctx)
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		s.log.Warn("readers wait for a marker that the broker left out", "err", err)
	case err != nil:
		s.log.Debug("not known whether the broker has ended every transaction", "err", err)
	case done:
		s.settled = s.epoch
		s.mu.Lock()
		s.former = decided{}
		s.mu.Unlock()
	}
	return done && err == nil
}

// completeOwn returns false while markers are on their way.
func (s *sender) completeOwn(ctx context.Context) (done bool, err error) {
	admin := kadm.NewClient(s.client)
	last, err := lastDecided(ctx, admin, s.id)
	if err != nil || !last.done || !s.isLast(last) {
		return false, err
	}
	known, err := describe(ctx, admin, slices.Collect(maps.Keys(s.topics))...)
	if err != nil {
		return false, err
	}
	// Each was begun when the one before was committed.
	own := decided{producer: s.producer, from: s.opened, to: s.epoch, commit: true}
	return true, errors.Join(s.former.complete(ctx, admin, s.log, known), own.complete(ctx, admin, s.log, known))
}
