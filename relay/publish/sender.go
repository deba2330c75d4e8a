package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
	"github.com/adamkwhite/kafkafoodpipeline/relay/spans"
)

const (
	produceTimeout = 10 * time.Second // what the leader may wait for its followers
	putOff         = time.Millisecond // before asking again a broker that still ends the transaction before
	putOffMost     = 20 * time.Millisecond
	retryPause     = 100 * time.Millisecond // before looking for the leaders again

	keptBatches = 16 // whose memory is kept, to be used again

	settleEvery  = 10 * time.Second // how often it is looked whether what is committed is ended everywhere
	settleWithin = 2 * time.Second  // bounds the look: the next transaction waits for it
)

// sender sends what is sealed, batch by batch, and commits what is ended, transaction by transaction.
//
// A broker has one request of ours at a time, and in it at most one batch of a partition. So a batch that is put off has
// nothing behind it that the broker would have to refuse as out of order, and what is sent again has the same place. It
// costs no time: while a request is under way, the next batches are filled.
type sender struct {
	client  *kgo.Client
	id      string // the transactional id
	log     *slog.Logger
	spans   func(spans.Span)
	topics  map[string]*topicInfo // by name; owned by run once it runs
	settled int16                 // the epoch before which all transactions are known to be ended everywhere; owned by run once it runs
	lost    *disconnects

	mu sync.Mutex // guards what follows
	// producer and epoch are those of the first of transactions, or of the one that begins next, opened is the epoch of this
	// producer's first one, former what was committed under another producer id and is not known to be ended everywhere. Only Open
	// and then run set them.
	producer      int64
	opened, epoch int16
	former        decided
	transactions  []*transaction // in order: the first is sent, those behind it wait for its commit
	queued        []*partition   // those with a queue
	size          int            // bytes in the queues
	failed        error          // the first error; nothing is sent after it
	free          [][]byte       // memory of batches that were acknowledged
	found         []Topic        // that were found since and are not among topics yet

	wake     chan struct{} // holds one token when there is something to send
	progress chan struct{} // holds one token when a round was answered, a transaction committed, or all has failed
	results  chan Result
	done     chan struct{} // closed when run has returned
}

// transaction is one that was begun. It is filled, then ended, then committed.
type transaction struct {
	checkpoint checkpoint.Record // that it ends with
	ended      bool              // nothing more is added: it is to be committed when all of it is acknowledged
	trace      []traced
}

func newSender(client *kgo.Client, config Config, topics []Topic) *sender {
	s := &sender{
		client: client, id: config.TransactionalID, log: config.Log, spans: config.Spans,
		topics:   map[string]*topicInfo{config.CheckpointTopic: {leaders: []int32{noLeader}}},
		lost:     new(disconnects),
		wake:     make(chan struct{}, 1),
		progress: make(chan struct{}, 1),
		results:  make(chan Result, 4), // see End: two, and an error
		done:     make(chan struct{}),
	}
	for _, t := range topics {
		s.topics[t.Name] = infoOf(t)
	}
	return s
}

// learn tells of a topic before the first batch for it.
func (s *sender) learn(t Topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, t)
}

// identify sets who produces from now on. Nothing of an earlier one may be queued.
func (s *sender) identify(producer int64, epoch int16) {
	s.mu.Lock()
	s.producer, s.epoch = producer, epoch
	s.opened, s.settled = epoch, epoch
	s.mu.Unlock()
}

func (s *sender) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// begin takes a transaction over that is empty.
func (s *sender) begin(tx *transaction) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transactions = append(s.transactions, tx)
	return s.failed
}

// enqueue takes batches over, all of them before the next round is made up, and whether they are the last of their
// transaction.
func (s *sender) enqueue(tx *transaction, ended bool, batches ...*sealed) {
	s.mu.Lock()
	for _, b := range batches {
		b.transaction = tx
		if len(b.partition.queue) == 0 {
			s.queued = append(s.queued, b.partition)
		}
		b.partition.queue = append(b.partition.queue, b)
		s.size += len(b.wire)
	}
	tx.ended = ended
	s.mu.Unlock()
	token(s.wake)
}

// memory is what a batch can be written into; nil if none is free.
func (s *sender) memory() (b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free) - 1; n >= 0 {
		b, s.free = s.free[n], s.free[:n]
	}
	return b
}

// wait returns when no more than so many bytes are queued, and no more than so many transactions uncommitted.
func (s *sender) wait(ctx context.Context, bytes, transactions int) error {
	for {
		s.mu.Lock()
		ok, err := s.size <= bytes && len(s.transactions) <= transactions, s.failed
		s.mu.Unlock()
		if err != nil || ok {
			return err
		}
		select {
		case <-s.progress:
		case <-ctx.Done():
			return fmt.Errorf("waiting for Kafka's acknowledgement: %w", context.Cause(ctx))
		}
	}
}

// run sends until ctx ends or something fails for good.
func (s *sender) run(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.wake:
		case <-tick.C:
			s.settle(ctx)
			continue
		case <-ctx.Done():
			s.fail(context.Cause(ctx))
			return
		}
		if err := s.drain(ctx); err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *sender) fail(err error) {
	s.mu.Lock()
	s.failed = err
	s.mu.Unlock()
	token(s.progress)
	select {
	case s.results <- Result{Err: err}:
	default: // nobody reads
	}
}

// drain sends rounds, and commits, until there is nothing to do.
func (s *sender) drain(ctx context.Context) error {
	pause, since := putOff, time.Now()
	for {
		round, end := s.next()
		if end != nil {
			if err := s.commit(ctx, end); err != nil {
				return fmt.Errorf("commit: %w", err)
			}
			pause, since = putOff, time.Now()
			continue
		}
		if len(round) == 0 {
			return nil
		}
		again, err := s.sendSettled(ctx, round)
		token(s.progress)
		switch {
		case err != nil:
			return err
		case again == nil:
			pause, since = putOff, time.Now()
			continue
		case time.Since(since) > transactionTimeout:
			return fmt.Errorf("produce, for %v, until the broker must have aborted the transaction: %w", transactionTimeout, again)
		case errors.Is(again, kerr.ConcurrentTransactions):
			pause = min(2*pause, putOffMost)
		default:
			pause = retryPause
			if err := s.lookUp(ctx); err != nil {
				return err
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// token puts one into a channel that holds at most one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
