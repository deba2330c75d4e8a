package e2e

import (
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/internal/topic"
)

const stopped = "projector_partition_stopped"

// TestATopicMadeAnewUnderItsProjectors_I8 deletes the topic while orders flow, makes it again under its name, and fills it from the outbox,
// so that it has records at the offsets at which the read model stands: other ones. Projectors that go on, and those that start then, must
// not apply them: some events would be left out, in silence where a partition has no others of their orders.
func TestATopicMadeAnewUnderItsProjectors_I8(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	relay := p.relay("relay")
	projectors := []*program{p.projector("projector-1"), p.projector("projector-2")}
	traffic := p.traffic(40)
	p.until("both have a share", func() bool { return shared(topic.Partitions, projectors...) })
	p.flowing(200)

	relay.wanted = false // its gate closes
	p.remake(topic.Partitions)
	p.until("the relay has ended", func() bool { return closed(relay.process.Done()) })
	p.refill("the topic was deleted")
	relay.start()
	p.beyond()
	p.refuses(projectors, "deleted and made again")
	p.mended(projectors)
	p.flowing(100)
	p.holds(traffic, 500)
}

// remake deletes the topic and makes it again, with so many partitions.
func (p *pipeline) remake(partitions int32) {
	p.Helper()
	client := p.client()
	admin := kadm.NewClient(client)
	if _, err := admin.DeleteTopics(p.Context(), p.topic); err != nil {
		p.Fatal(err)
	}
	p.until("the topic is made again", func() bool {
		made, err := admin.CreateTopic(p.Context(), partitions, -1, nil, p.topic)
		return err == nil && made.Err == nil
	})
	testenv.AwaitTopic(p, client, p.topic)
}

// beyond waits until the topic has records at the offsets at which the read model stands.
func (p *pipeline) beyond() {
	p.Helper()
	admin := p.admin()
	p.until("the topic has records where the read model stands", func() bool {
		ends, err := admin.ListCommittedOffsets(p.Context(), p.topic)
		if err != nil {
			return false
		}
		all := true
		ends.Each(func(o kadm.ListedOffset) {
			const next = "SELECT next_offset FROM projection_offsets WHERE topic = $1 AND part = $2"
			all = all && o.Offset > p.number(p.readModel, next, p.topic, o.Partition)
		})
		return all
	})
}

// refuses waits until the projectors have stopped all partitions, starts them again, and waits until they have refused them all, for that
// reason. Nothing that came in between may be in the read model.
func (p *pipeline) refuses(projectors []*program, reason string) {
	p.Helper()
	p.until("all partitions are stopped", func() bool { return p.stoppedBy(projectors) == topic.Partitions })
	for _, g := range projectors {
		p.Log(g.name, g.lines("partition stopped"))
		g.stop()
	}
	applied := p.applied() // now: what came before the refusal may have been on its way
	for _, g := range projectors {
		g.start()
	}
	p.until("the partitions are refused to new processes", func() bool {
		refused := 0
		for _, g := range projectors {
			refused += len(g.lines(reason))
		}
		return refused >= topic.Partitions && p.stoppedBy(projectors) == topic.Partitions
	})
	for _, g := range projectors {
		if g.ready() {
			p.Errorf("%s says that it is ready", g.name)
		}
	}
	const strange = "SELECT (SELECT sum(duplicate_events) FROM projection_offsets)::bigint + (SELECT count(*) FROM dead_letters)"
	if now, n := p.applied(), p.number(p.readModel, strange); now != applied || n != 0 {
		p.Errorf("%d events applied, %d before; %d others read: something was taken from another log", now, applied, n)
	}
}

// stoppedBy is how many partitions the projectors have stopped.
func (p *pipeline) stoppedBy(projectors []*program) (sum float64) {
	for _, g := range projectors {
		sum += g.metric(stopped)
	}
	return sum
}

// mended does what the runbook says where projectors have stopped.
func (p *pipeline) mended(projectors []*program) {
	p.Helper()
	p.overtake()
	for _, g := range projectors {
		g.stop()
		g.start()
	}
}

// TestRecordsDeletedPastTheOffset_I8 deletes what the projectors have not read yet, while their processes are stopped for less than their
// session lasts. They go on at an offset that is not there any more: a consumer's usual answer is to jump to the next one that is.
func TestRecordsDeletedPastTheOffset_I8(t *testing.T) {
	t.Parallel()
	p := setup(t, testenv.RealBroker(t))
	relay := p.relay("relay")
	projectors := []*program{p.projector("projector-1"), p.projector("projector-2")}
	traffic := p.traffic(40)
	p.until("both have a share", func() bool { return shared(topic.Partitions, projectors...) })
	p.flowing(200)

	for _, g := range projectors {
		g.signal(syscall.SIGSTOP)
	}
	before := p.written() // more than a fetch that was under way may bring
	p.until("more is written", func() bool { return p.written() >= before+300 })
	p.beyond()
	p.deleteRecords()
	for _, g := range projectors {
		g.signal(syscall.SIGCONT)
	}
	p.refuses(projectors, "deleted before they were applied")

	relay.stop() // a topic without its beginning is refused by relay recover
	p.remake(topic.Partitions)
	p.refill("records were deleted")
	relay.start()
	p.mended(projectors)
	p.flowing(100)
	p.holds(traffic, 500)
}

// deleteRecords deletes all that can be read of the topic.
func (p *pipeline) deleteRecords() {
	p.Helper()
	admin := p.admin()
	ends, err := admin.ListCommittedOffsets(p.Context(), p.topic)
	if err != nil {
		p.Fatal(err)
	}
	deleted, err := admin.DeleteRecords(p.Context(), ends.Offsets())
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		p.Fatal(err)
	}
}

// TestPartitionsAddedUnderLoad_I8 adds partitions while orders flow. The projectors claim them too, and nothing else may change: the relay goes on
// in those that it knows, and refuses to start again, since an order's later events would go to another partition than its earlier
// ones. The remedy is a topic made anew.
func TestPartitionsAddedUnderLoad_I8(t *testing.T) {
	t.Parallel()
	const more = 5
	p := setup(t, testenv.RealBroker(t))
	relay := p.relay("relay")
	projectors := []*program{p.projector("projector-1"), p.projector("projector-2")}
	traffic := p.traffic(40)
	p.until("both have a share", func() bool { return shared(topic.Partitions, projectors...) })
	p.flowing(100)
	if added, err := p.admin().UpdatePartitions(p.Context(), more, p.topic); err != nil || added[p.topic].Err != nil {
		t.Fatalf("add partitions: %v, %v", err, added[p.topic].Err)
	}
	for _, g := range projectors { // which else would learn of it within minutes
		g.stop()
		g.start()
	}
	p.until("the projectors have all partitions", func() bool { return shared(more, projectors...) })
	p.flowing(200)

	relay.stop()
	relay.start().wanted = false
	p.until("the relay has ended", func() bool { return closed(relay.process.Done()) })
	if err := relay.process.Wait(); exitCode(err) != 3 || !strings.Contains(relay.lastLine(), "has 5 partitions") {
		t.Errorf("the relay ended with %v: %s; want exit code 3 and the number of partitions", err, relay.lastLine())
	}
	p.remake(more)
	p.refill("more partitions")
	relay.start()
	p.mended(projectors)
	p.until("the projectors have all partitions", func() bool { return shared(more, projectors...) })
	p.flowing(200)
	p.holds(traffic, 500)
}
