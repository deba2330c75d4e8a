package publish

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A broker that lost its power comes back with a shorter log, and the producer's session goes on. The first record that
// lands where another was acknowledged gives it away; in which topic does not matter.
func TestTransactionBehindRecordsThatWereLostIsNeverCommitted_I7(t *testing.T) {
	t.Parallel()
	for name, offsets := range map[string]struct{ events, checkpoint int64 }{
		"events were lost":           {events: 0, checkpoint: 7},
		"the checkpoint was lost":    {events: 7, checkpoint: 0},
		"everything since was lost":  {events: 0, checkpoint: 0},
		"nothing was lost, a marker": {events: 2, checkpoint: 2}, // the control
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, cluster := setupFaulty(t)
			p := k.open()
			first := k.rows(2)
			k.add(p, first)
			if _, err := p.Commit(t.Context(), k.checkpoint(1)); err != nil {
				t.Fatal(err)
			}
			cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				return acknowledged(request.(*kmsg.ProduceRequest), func(partition int32) int64 {
					if partition == 2 {
						return offsets.events
					}
					return offsets.checkpoint
				}), nil, true
			})
			k.add(p, k.rows(2))
			cp, err := p.Commit(t.Context(), k.checkpoint(2))
			if lost := offsets.events*offsets.checkpoint == 0; lost != errors.Is(err, ErrLogCut) {
				t.Errorf("committed %+v, error %v; records were lost: %v", cp, err, lost)
			}
		})
	}
}

// acknowledged answers for records that nobody has appended.
func acknowledged(request *kmsg.ProduceRequest, offset func(partition int32) int64) *kmsg.ProduceResponse {
	answer := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, asked := range request.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
		for _, part := range asked.Partitions {
			answered := kmsg.NewProduceResponseTopicPartition()
			answered.Partition, answered.BaseOffset = part.Partition, offset(part.Partition)
			topic.Partitions = append(topic.Partitions, answered)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}
