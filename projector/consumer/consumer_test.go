package consumer

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/projector/viewtest"
)

func TestEveryCommittedEventIsAppliedOnceAndNoAbortedOne_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	p := r.start(1)
	events := viewtest.History(1, 30, 600)
	r.publish(events, 20)
	r.arrived(events)

	r.until("lag is 0 behind the last marker", func() bool { return testutil.CollectAndCount(p.metrics.lagEvents) == 3 && p.lag() == 0 })
	r.until("ready", func() bool { return p.health.Ready() == nil })
	if got := testutil.ToFloat64(p.metrics.duplicates); got != 0 {
		t.Errorf("duplicates %v", got)
	}
}

func (p *process) lag() (sum float64) {
	for _, part := range []string{"0", "1", "2"} {
		sum += testutil.ToFloat64(p.metrics.lagEvents.WithLabelValues(part))
	}
	return sum
}

func TestPartitionsMoveAmongMembersUnderLoad_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	events := viewtest.History(2, 40, 3000)
	published := make(chan error, 1)
	go func() { published <- r.Send(events, 40) }()
	first := r.start(1)
	r.until("the first applies", func() bool { return r.applied() > 100 })
	second := r.start(2)
	r.until("the second has a share", func() bool { return second.assigned() > 0 })
	third := r.start(1)
	r.until("the third has started", func() bool { return testutil.ToFloat64(third.metrics.rebalances) > 0 })
	first.stop()
	r.until("the others have all", func() bool { return second.assigned()+third.assigned() == 3 })
	second.stop()
	r.until("the third has all", func() bool { return third.assigned() == 3 })
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	r.arrived(events)
}

func TestADrainedProcessLeavesTheGroupAtOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	p := r.start(2)
	events := viewtest.History(3, 10, 100)
	r.publish(events, 50)
	r.arrived(events)
	p.stop()

	group := r.group
	described, err := kadm.NewClient(r.Client).DescribeGroups(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(described[group].Members); n != 0 {
		t.Errorf("%d members are left in the group", n)
	}
	copies, err := kadm.NewClient(r.Client).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	for part := range int32(3) {
		copied, _ := copies.Lookup(r.topic, part)
		if want := r.number(`SELECT next_offset FROM projection_offsets WHERE part = $1`, part); copied.At != want {
			t.Errorf("partition %d: the group's copy is %d, the read model's offset %d", part, copied.At, want)
		}
	}
}

func TestTheGroupsOffsetsAreNeverRead_I8(t *testing.T) {
	t.Parallel()
	r := setup(t, 3)
	events := viewtest.History(4, 10, 200)
	r.publish(events[:100], 50)
	wrong := make(kadm.Offsets)
	for part := range int32(3) {
		wrong.AddOffset(r.topic, part, 20, -1)
	}
	if err := kadm.NewClient(r.Client).CommitAllOffsets(t.Context(), r.group, wrong); err != nil {
		t.Fatal(err)
	}
	r.start(1)
	r.publish(events[100:], 50)
	r.arrived(events)
}

// stopped waits until the process says that a partition stopped, and returns what it says.
func (p *process) stopped() string {
	p.Helper()
	text := ""
	p.until("a partition stops", func() bool {
		if err := p.health.Ready(); err != nil && strings.Contains(err.Error(), "partitions: partition") {
			text = err.Error()
		}
		return text != ""
	})
	return text
}
