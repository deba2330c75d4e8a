package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/adamkwhite/kafkafoodpipeline/relay/crash"
)

// next is what there is to do for the first transaction: the first batch of each queue, numbered; or its commit, when it is
// ended and nothing of it is left to be acknowledged.
func (s *sender) next() (round []*sealed, end *transaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.found {
		s.topics[t.Name] = infoOf(t)
	}
	s.found = nil
	if len(s.transactions) == 0 {
		return nil, nil
	}
	first := s.transactions[0]
	for _, p := range s.queued {
		if b := p.queue[0]; b.transaction == first {
			b.number(s.producer, s.epoch)
			round = append(round, b)
		}
	}
	if len(round) == 0 && first.ended {
		return nil, first
	}
	return round, nil
}

// commit commits the first transaction.
//
// The order is the proof (I4). All of it is acknowledged, its checkpoint included. Were the commit asked for before, a
// transaction that lacks an event could be committed with a checkpoint that claims it: the broker commits what it has. And
// the next one is sent only after it, so that none can be committed whose predecessor was not.
//
// A commit whose context ends is one that may or may not take place later. So it is not given ours: when that ends, the
// client is closed, and with it everything that this producer could still do.
func (s *sender) commit(ctx context.Context, tx *transaction) error {
	crash.At(crash.Flushed)
	producer, epoch, err := s.endTransaction(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	s.mu.Lock()
	if producer != s.producer { // the old one's epochs are used up
		s.former = decided{producer: s.producer, from: s.opened, to: s.epoch + 1, commit: true}
		s.opened, s.settled = epoch, epoch
	}
	s.producer, s.epoch = producer, epoch
	s.transactions = s.transactions[1:]
	s.mu.Unlock()
	s.tell(ctx, tx.trace)
	token(s.progress)
	select {
	case s.results <- Result{Checkpoint: tx.checkpoint}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send sends the batches to their leaders, all at once, and takes what was acknowledged from the queues. It returns in
// again the error of one that may be sent again, and in err one after which the transaction cannot be committed.
func (s *sender) send(ctx context.Context, round []*sealed) (again, err error) {
	byLeader := make(map[int32][]*sealed)
	for _, b := range round {
		leader := s.topics[b.partition.topic].leaders[b.partition.number]
		byLeader[leader] = append(byLeader[leader], b)
	}
	results := make(chan result, len(byLeader))
	for leader, batches := range byLeader {
		if len(byLeader) == 1 {
			results <- s.ask(ctx, leader, batches)
			break
		}
		go func() { results <- s.ask(ctx, leader, batches) }()
	}
	for range byLeader {
		r := <-results
		for i, b := range r.batches {
			switch e := r.errors[i]; {
			case e == nil:
				err = errors.Join(err, s.acknowledged(b))
			case retriable(e):
				again = e
			default:
				err = errors.Join(err, fmt.Errorf("produce to %s/%d: %w", b.partition.topic, b.partition.number, e))
			}
		}
	}
	return again, err
}

// acknowledged takes the first batch from its partition's queue.
//
// A broker without replicas can come back from a power loss with a shorter log, and this producer's session goes on as if
// nothing had been: the gates are looked at at a start only. But nobody else writes to these topics, so offsets only rise,
// and where one does not, records before it are gone. Committed, the transaction would hide them behind its checkpoint.
func (s *sender) acknowledged(b *sealed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := b.partition
	p.queue = slices.Delete(p.queue, 0, 1)
	if len(p.queue) == 0 {
		s.queued = slices.DeleteFunc(s.queued, func(q *partition) bool { return q == p })
	}
	s.size -= len(b.wire)
	if len(s.free) < keptBatches && cap(b.wire) <= 2*batchBytes {
		s.free = append(s.free, b.wire)
	}
	b.wire = nil
	if b.offset <= p.acked {
		return fmt.Errorf("%w: %s/%d took a record at offset %d, after offset %d", ErrLogCut, p.topic, p.number, b.offset, p.acked)
	}
	p.acked = b.offset + int64(b.count) - 1
	return nil
}
