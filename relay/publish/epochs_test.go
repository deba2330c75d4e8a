package publish

import (
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/adamkwhite/kafkafoodpipeline/internal/outbox"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

// An epoch is 16 bits and every transaction takes one, so that at a hundred a second they last five minutes. Behind the last,
// the coordinator gives out another producer id (KIP-360), within the answer to a commit (KIP-890).
func TestEpochsAreUsedUp_I4(t *testing.T) {
	t.Parallel()
	broker := testenv.Kafka(t)
	k := setupTopic(t, []string{broker.Address()}, testenv.Topic(t, broker.Address(), topic.Partitions))
	var committed [][]outbox.Row
	commit := func(p *Producer) {
		t.Helper()
		rows := k.rows(0, 1, 2)
		k.add(p, rows)
		if _, err := p.Commit(t.Context(), k.checkpoint(int64(len(committed)+1))); err != nil {
			t.Fatal(err)
		}
		committed = append(committed, rows)
	}

	k.raiseEpoch(t, math.MaxInt16-5)
	p := k.open()
	first, killed := p.sender.producer, false
	for p.sender.producer == first {
		commit(p)
		if p.sender.epoch == math.MaxInt16-1 { // the last that a producer is given
			broker.Kill()
			broker.Start()
			killed = true
		}
	}
	if len(committed) < 3 || p.sender.epoch != 0 || !killed {
		t.Errorf("another producer id after %d transactions, with epoch %d, the broker killed before: %v", len(committed), p.sender.epoch, killed)
	}
	broker.Kill()
	broker.Start()
	commit(p)
	commit(p)
	p.Close()
	k.holds(committed...)

	// A start at the end of the epochs, with a transaction open.
	k.raiseEpoch(t, math.MaxInt16-2)
	p = k.open()
	k.add(p, k.rows(1))
	if err := flush(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Close()
	p = k.open()
	commit(p)
	p.Close()
	k.holds(committed...)
}

// raiseEpoch takes the transactional id over until its epoch is so high.
func (k *target) raiseEpoch(t *testing.T, epoch int16) {
	t.Helper()
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID, request.TransactionTimeoutMillis = &k.config.TransactionalID, 30_000
	for last := int16(-1); last < epoch; {
		answer, err := request.RequestWith(t.Context(), k.client)
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if err != nil {
			t.Fatal(err)
		}
		last = answer.ProducerEpoch
	}
}
