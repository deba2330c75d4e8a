package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

const ours trial = 3

// published are n events' records as the relay publishes them, from sequence number 101 on, all in one partition.
func published(t *testing.T, n int) []*kgo.Record {
	t.Helper()
	list := make([]*kgo.Record, n)
	for i := range list {
		list[i] = published1(t, number(i), int64(101+i))
	}
	return list
}

func published1(t *testing.T, n number, seq int64) *kgo.Record {
	t.Helper()
	r, err := row(ours.event(n), seq)
	if err != nil {
		t.Fatal(err)
	}
	record, err := topic.Record("orders", r, topic.Source{Name: "/orders", Commit: 1, Committed: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func TestTheCheckFindsEachFault(t *testing.T) {
	t.Parallel()
	const n = 2 * perOrder
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, list []*kgo.Record) []*kgo.Record
		want  Check
	}{
		{"nothing", func(_ *testing.T, list []*kgo.Record) []*kgo.Record { return list }, Check{}},
		{"orders in another order", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			return append(slices.Clone(list[perOrder:]), list[:perOrder]...)
		}, Check{}},
		{"all lost", func(*testing.T, []*kgo.Record) []*kgo.Record { return nil }, Check{Missing: n}},
		{"one lost in the middle", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			return slices.Delete(list, 3, 4)
		}, Check{Missing: 1}},
		{"the last lost", func(_ *testing.T, list []*kgo.Record) []*kgo.Record { return list[:n-1] }, Check{Missing: 1}},
		{"one twice, at once", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			return slices.Insert(list, 3, list[3])
		}, Check{Duplicates: 1}},
		{"an order twice", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			return append(list, list[:perOrder]...)
		}, Check{Duplicates: perOrder}},
		{"two changed places", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			list[4], list[5] = list[5], list[4]
			return list
		}, Check{OutOfOrder: 1}},
		{"an order in two partitions", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			list[perOrder-1].Partition = 1
			return list
		}, Check{OutOfOrder: 1}},
		{"a byte of the payload", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			list[6].Value = slices.Clone(list[6].Value)
			list[6].Value[20] ^= 1
			return list
		}, Check{Altered: 1}},
		{"a header", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			list[6].Headers = append(list[6].Headers, kgo.RecordHeader{Key: "x", Value: []byte("y")})
			return list
		}, Check{Altered: 1}},
		{"a key", func(_ *testing.T, list []*kgo.Record) []*kgo.Record {
			list[6].Key = list[0].Key[:10] // it is no record of ours then, and the row's has not come
			return list
		}, Check{Altered: 1, Missing: 1}},
		{"another's event under the row's number", func(t *testing.T, list []*kgo.Record) []*kgo.Record {
			t.Helper()
			list[6] = published1(t, 7, 107)
			return list
		}, Check{Altered: 1}},
		{"one that nobody wrote", func(t *testing.T, list []*kgo.Record) []*kgo.Record {
			t.Helper()
			return append(list, published1(t, 50, 500))
		}, Check{Altered: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newChecker(ours)
			for i := range n {
				c.add(int64(101+i), number(i))
			}
			for _, r := range tt.spoil(t, published(t, n)) {
				c.show(r)
			}
			got := c.result()
			tt.want.Events = n
			if (len(got.Findings) > 0) == got.Clean() || len(got.Findings) > mostFindings {
				t.Errorf("clean %v with the findings %q", got.Clean(), got.Findings)
			}
			got.Findings = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestASequenceNumberThatWasRolledBackIsNotMissed(t *testing.T) {
	t.Parallel()
	c := newChecker(ours)
	c.add(10, 0)
	c.add(13, 1)
	c.show(published1(t, 0, 10))
	c.show(published1(t, 1, 13))
	if got := c.result(); !got.Clean() || got.Events != 2 {
		t.Errorf("%+v", got)
	}
	c.show(published1(t, 2, 12))
	if got := c.result(); got.Altered != 1 {
		t.Errorf("an event of a transaction that was rolled back: %+v", got)
	}
}
