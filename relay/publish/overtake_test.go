package publish

import (
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A coordinator that lost the end of its notes gives an epoch out a second time. Used, the partitions would refuse it at
// every start, as often as there had been transactions since.
func TestEpochThatWasGivenOutBeforeIsNotUsed_I6(t *testing.T) {
	t.Parallel()
	k, cluster := setupFaulty(t)
	p := k.open()
	id, old := p.sender.producer, p.sender.epoch
	k.add(p, k.rows(0, 1, 2))
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	p.Close()
	p = k.open() // a start after it, which the coordinator forgets
	last := k.rows(0)
	k.add(p, last)
	if _, err := p.Commit(t.Context(), k.checkpoint(2)); err != nil {
		t.Fatal(err)
	}
	newest := p.sender.epoch
	p.Close()

	var again atomic.Int64
	cluster.ControlKey(int16(kmsg.InitProducerID), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if again.Add(1) > 2 { // takes over as the partitions know it
			return nil, nil, false
		}
		cluster.KeepControl()
		answer := request.ResponseKind().(*kmsg.InitProducerIDResponse)
		answer.ProducerID, answer.ProducerEpoch = id, old
		return answer, nil, true
	})
	// kfake tells of open transactions only; Kafka of all producers.
	answerProducers(cluster, func(string, int32) []producerState { return []producerState{{id, newest, -1}} })
	p = k.open()
	if again.Load() < 3 {
		t.Errorf("the transactional id was taken over %d times, want until its epoch is new", again.Load())
	}
	k.add(p, k.rows(0))
	if _, err := p.Commit(t.Context(), k.checkpoint(3)); err != nil {
		t.Errorf("commit: %v", err)
	}
}
