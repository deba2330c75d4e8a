package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Aborted is what a topic holds of transactions that did not happen. A read_committed reader never sees it.
type Aborted struct {
	Transactions int64
	Records      int64
}

// CountAborted reads a whole topic as it lies on the brokers, the markers that end transactions included.
func CountAborted(ctx context.Context, brokers, topic string) (Aborted, error) {
	client, err := Connect(ctx, brokers, kgo.KeepControlRecords())
	if err != nil {
		return Aborted{}, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return Aborted{}, fmt.Errorf("start of topic %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return Aborted{}, fmt.Errorf("end of topic %s: %w", topic, err)
	}
	left := make(map[int32]int64) // offsets at which the partitions end, of those that have not been read to their end
	from := make(map[int32]kgo.Offset)
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, end.Partition)
		if start.Offset < end.Offset {
			left[end.Partition], from[end.Partition] = end.Offset, kgo.NewOffset().At(start.Offset)
		}
	})
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	count := NewCount()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return Aborted{}, fmt.Errorf("read topic %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			count.Add(r)
			if end, reading := left[r.Partition]; reading && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return count.Total(), nil
}

// Count follows the transactions of a topic, record by record. A producer has at most one open at a time. A reader that reads committed
// gets the markers of all of them, and no aborted record: for such a one Records stays 0.
type Count struct {
	open    map[[2]int64]int64           // records of the open transaction, by partition and producer
	markers map[[2]int64]map[int32]int64 // abort markers by producer and its epoch, by partition: one each per transaction
	records int64
}

// NewCount counts from nothing.
func NewCount() *Count {
	return &Count{open: make(map[[2]int64]int64), markers: make(map[[2]int64]map[int32]int64)}
}

// Add takes in a record or a marker, in the order of their offsets within a partition.
func (c *Count) Add(r *kgo.Record) {
	producer := [2]int64{int64(r.Partition), r.ProducerID}
	if !r.Attrs.IsControl() {
		c.open[producer]++
		return
	}
	if how, ends := EndOf(r); ends && how == kgo.TryAbort {
		c.records += c.open[producer]
		transaction := [2]int64{r.ProducerID, int64(r.ProducerEpoch)}
		if c.markers[transaction] == nil {
			c.markers[transaction] = make(map[int32]int64)
		}
		c.markers[transaction][r.Partition]++
	}
	delete(c.open, producer)
}

// Total is what was counted so far.
func (c *Count) Total() Aborted {
	a := Aborted{Records: c.records}
	for _, partitions := range c.markers {
		var most int64 // a transaction leaves a marker in each partition that it wrote to
		for _, n := range partitions {
			most = max(most, n)
		}
		a.Transactions += most
	}
	return a
}
