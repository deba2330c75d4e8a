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
	k.add(p, k.rows(p, 0, 1, 2))
	if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	p.Close()
	p = k.open() // a start after it, which the coordinator forgets
	last := k.rows(p, 0)
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
	cluster.ControlKey(int16(kmsg.DescribeProducers), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl() // kfake tells of open transactions only; Kafka of all producers
		return described(request.(*kmsg.DescribeProducersRequest), id, newest), nil, true
	})
	p = k.open()
	if again.Load() < 3 {
		t.Errorf("the transactional id was taken over %d times, want until its epoch is new", again.Load())
	}
	k.add(p, k.rows(p, 0))
	if _, err := p.Commit(t.Context(), k.checkpoint(3)); err != nil {
		t.Errorf("commit: %v", err)
	}
}

// described answers that each partition knows the producer with an epoch.
func described(request *kmsg.DescribeProducersRequest, id int64, epoch int16) *kmsg.DescribeProducersResponse {
	answer := request.ResponseKind().(*kmsg.DescribeProducersResponse)
	for _, asked := range request.Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = asked.Topic
		for _, n := range asked.Partitions {
			producer := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
			producer.ProducerID, producer.ProducerEpoch, producer.CurrentTxnStartOffset = id, int32(epoch), -1
			part := kmsg.NewDescribeProducersResponseTopicPartition()
			part.Partition = n
			part.ActiveProducers = append(part.ActiveProducers, producer)
			topic.Partitions = append(topic.Partitions, part)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}
