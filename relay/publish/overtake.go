package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// takeOverWithin bounds how long the broker may take to end what a predecessor left open. A healthy one needs milliseconds.
const takeOverWithin = 30 * time.Second

// errStuck says what to make of a broker that takes longer.
var errStuck = errors.New("the broker does not end the open transaction of a predecessor; if it has lost its power it may " +
	"never do so, since its notes are older than the topic: make a new topic, run relay recover with --topic, and rebuild the topic's readers")

// overtaken says whether the partitions have seen the client's producer with an epoch as high as its own or higher. A
// coordinator that lost the end of its notes with its power gives an epoch out a second time, and the partitions, which
// have lost less, refuse it; or worse, they take its first records for some that they have already.
func overtaken(ctx context.Context, client *kgo.Client, topics ...string) (by int16, is bool, err error) {
	id, epoch, err := client.ProducerID(ctx)
	if err != nil {
		return 0, false, err
	}
	seen, err := describe(ctx, kadm.NewClient(client), topics...)
	for _, p := range seen {
		if p.ProducerID == id && p.ProducerEpoch >= epoch {
			by, is = max(by, p.ProducerEpoch), true
		}
	}
	return by, is, err
}

// overtake takes the transactional id over until its epoch has passed the given one, or it has a new producer, of which no
// partition knows. Each time raises the epoch by one; there were as many transactions as that since what was lost.
func overtake(ctx context.Context, client *kgo.Client, transactionalID string, epoch int16) error {
	id, _, err := client.ProducerID(ctx)
	if err != nil {
		return err
	}
	for {
		request := kmsg.NewPtrInitProducerIDRequest()
		request.TransactionalID, request.TransactionTimeoutMillis = &transactionalID, int32(transactionTimeout.Milliseconds())
		answer, err := request.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("raise the epoch of %s above %d: %w", transactionalID, epoch, err)
		}
		if answer.ProducerID != id || answer.ProducerEpoch >= epoch {
			return nil
		}
	}
}
