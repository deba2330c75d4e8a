package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// takeOverWithin bounds how long the broker may take to end what a predecessor left open. A healthy one needs milliseconds.
const takeOverWithin = 30 * time.Second

// errStuck says what to make of a broker that takes longer.
var errStuck = errors.New("the broker does not end the open transaction of a predecessor; if it has lost its power it may " +
	"never do so, since its notes are older than the topic: make a new topic, run relay recover with --topic, and rebuild the topic's readers")

var errUnended = errors.New("the brokers have not ended the transaction for longer than one may take")

// takeOver completes what a predecessor has ended, then takes the transactional id over, with an epoch of which no partition
// knows. In this order: the taking over is all that the coordinator remembers afterwards, and a start that failed between
// the two would leave a committed transaction of which nobody knows that it is.
//
// A coordinator that lost the end of its notes with its power gives an epoch out a second time, and the partitions, which
// have lost less, refuse it; or worse, they take its first records for some that they have already. So it is taken over
// until its epoch has passed those, or it has a new producer: each time raises the epoch by one, and there were as many
// transactions as that since what was lost.
func (p *Producer) takeOver(ctx context.Context) error {
	admin := kadm.NewClient(p.client)
	last, err := p.predecessor(ctx, admin)
	if err != nil {
		return err
	}
	seen, err := describe(ctx, admin, p.names()...)
	if err == nil {
		err = last.complete(ctx, admin, p.config.Log, seen)
	}
	if err == nil {
		err = p.initProducer(ctx)
	}
	if err == nil {
		seen, err = describe(ctx, admin, p.names()...)
	}
	if err != nil {
		return err
	}
	id := p.sender.producer
	by := int16(-1)
	for _, known := range seen {
		if known.ProducerID == id {
			by = max(by, known.ProducerEpoch)
		}
	}
	for p.sender.producer == id && p.sender.epoch <= by {
		p.config.Log.Warn("the broker gave out an epoch again", "topic", p.config.CheckpointTopic)
		if err := p.initProducer(ctx); err != nil {
			return fmt.Errorf("raise the epoch above %d: %w", by, err)
		}
	}
	return nil
}

// predecessor asks for what was last decided until all markers of it are sent. In a new cluster, the question has the brokers
// make the topic that a coordinator keeps its notes in.
func (p *Producer) predecessor(ctx context.Context, admin *kadm.Client) (decided, error) {
	deadline := time.Now().Add(takeOverWithin)
	for {
		last, err := lastDecided(ctx, admin, p.config.TransactionalID)
		switch late := time.Now().After(deadline); {
		case err == nil && last.done, err != nil && !kerr.IsRetriable(err):
			return last, err
		case late && err == nil:
			return decided{}, errStuck
		case late:
			return decided{}, fmt.Errorf("nobody coordinates the relay's transactions: %w", err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return decided{}, context.Cause(ctx)
		}
	}
}

// initProducer asks the coordinator for the producer's id and epoch, which ends what a predecessor had open (KIP-98).
func (p *Producer) initProducer(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, takeOverWithin, errStuck)
	defer cancel()
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID, request.TransactionTimeoutMillis = &p.config.TransactionalID, int32(transactionTimeout.Milliseconds())
	var answer *kmsg.InitProducerIDResponse
	err := patiently(ctx, func() (code int16, err error) {
		if answer, err = request.RequestWith(ctx, p.client); err == nil {
			code = answer.ErrorCode
		}
		return code, err
	})
	if err != nil {
		return fmt.Errorf("take over transactional id %s: %w", p.config.TransactionalID, cmp.Or(context.Cause(ctx), err))
	}
	p.sender.identify(answer.ProducerID, answer.ProducerEpoch)
	return nil
}

// endTransaction commits. From then on the producer has another epoch, so that nothing which was sent before, and is still
// on its way, can get into a later transaction (KIP-890). Its outcome is never guessed: after any error the producer is of
// no more use. It ends when the client is closed, and when the brokers cannot end the transaction for too long.
func (s *sender) endTransaction(ctx context.Context) (producer int64, epoch int16, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, transactionTimeout, errUnended)
	defer cancel()
	request := kmsg.NewPtrEndTxnRequest()
	request.TransactionalID, request.Commit = s.id, true
	request.ProducerID, request.ProducerEpoch = s.producer, s.epoch
	var answer *kmsg.EndTxnResponse
	err = patiently(ctx, func() (code int16, err error) {
		if answer, err = request.RequestWith(ctx, s.client); err == nil {
			code = answer.ErrorCode
		}
		return code, err
	})
	if err != nil {
		return 0, 0, err
	}
	return answer.ProducerID, answer.ProducerEpoch, nil
}

// patiently asks a coordinator again while it is still ending the transaction before.
func patiently(ctx context.Context, ask func() (code int16, err error)) error {
	for pause := putOff; ; pause = min(2*pause, putOffMost) {
		code, err := ask()
		if err == nil {
			err = kerr.ErrorForCode(code)
		}
		if !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
