package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Growth looks at how a topic grows.
type Growth struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string
}

// OpenGrowth connects. The caller must close it.
func OpenGrowth(ctx context.Context, brokers, topic string) (*Growth, error) {
	client, err := Connect(ctx, brokers)
	if err != nil {
		return nil, err
	}
	return &Growth{client: client, admin: kadm.NewClient(client), topic: topic}, nil
}

// Close ends the connections.
func (g *Growth) Close() { g.client.Close() }

// Await returns as soon as there are more records in the topic than at the call. It looks without a pause: what a
// publisher does behind an acknowledgement takes a millisecond or two.
func (g *Growth) Await(ctx context.Context) error {
	first, err := g.end(ctx)
	for now := first; err == nil && now == first; {
		now, err = g.end(ctx)
	}
	return err
}

// end adds up where the partitions end.
func (g *Growth) end(ctx context.Context) (sum int64, err error) {
	ends, err := g.admin.ListEndOffsets(ctx, g.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("end of topic %s: %w", g.topic, err)
	}
	ends.Each(func(end kadm.ListedOffset) { sum += end.Offset })
	return sum, nil
}
