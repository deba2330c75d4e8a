package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/projector/view"
)

var errNoTopic = errors.New("the topic does not exist")

// Log asks the broker what it has of the topic's partitions, all of them if none is named. It takes ten seconds at most.
func Log(ctx context.Context, admin *kadm.Client, topic string, parts ...int32) (view.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	metadata, err := admin.Metadata(ctx, topic)
	if err != nil {
		return view.Log{}, fmt.Errorf("metadata of topic %s: %w", topic, err)
	}
	t, exists := metadata.Topics[topic]
	if !exists {
		return view.Log{}, fmt.Errorf("topic %s: %w", topic, errNoTopic)
	}
	if t.Err != nil {
		return view.Log{}, fmt.Errorf("topic %s: %w", topic, t.Err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return view.Log{}, fmt.Errorf("start offsets of topic %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return view.Log{}, fmt.Errorf("end offsets of topic %s: %w", topic, err)
	}
	if len(parts) == 0 {
		parts = t.Partitions.Numbers()
	}
	log := view.Log{TopicID: uuid.UUID(t.ID), Bounds: make(map[int32]view.Bounds, len(parts))}
	for _, part := range parts {
		start, err := listed(starts, topic, part)
		if err != nil {
			return view.Log{}, err
		}
		end, err := listed(ends, topic, part)
		if err != nil {
			return view.Log{}, err
		}
		log.Bounds[part] = view.Bounds{Start: start, End: end}
	}
	return log, nil
}

func listed(offsets kadm.ListedOffsets, topic string, part int32) (int64, error) {
	o, found := offsets.Lookup(topic, part)
	if !found {
		return 0, fmt.Errorf("partition %d of topic %s: the broker does not list its offsets", part, topic)
	}
	if o.Err != nil {
		return 0, fmt.Errorf("partition %d of topic %s: %w", part, topic, o.Err)
	}
	return o.Offset, nil
}
