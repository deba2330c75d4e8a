package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ops"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/checkpoint"
)

// trio is Apache Kafka of three brokers, with three replicas of everything, two of which must have a record. The first is the
// controller, and lives. The transactions' coordinator is on the second at first, and goes to the third when that fails, and back.
type trio struct {
	t       *testing.T
	configs [3]kafkaserver.Config
	servers [3]*kafkaserver.Server
	admin   *kadm.Client
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	if err := kafkaserver.Available(); err != nil {
		t.Skip(err)
	}
	b := &trio{t: t}
	var addresses []string
	for n := range b.servers {
		b.configs[n] = kafkaserver.Config{Dir: t.TempDir(), Join: b.servers[0], Node: n + 1, Properties: map[string]string{
			"default.replication.factor": "3", "min.insync.replicas": "2",
			"transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2", "transaction.state.log.num.partitions": "1",
			"auto.leader.rebalance.enable": "false", // leaders go where a test sends them
		}}
		b.start(n + 1)
		b.configs[n].Port = b.servers[n].Port()
		addresses = append(addresses, b.servers[n].Address())
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(addresses...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	b.admin = kadm.NewClient(client)
	b.coordinator() // which has the brokers make the topic
	var order kadm.AlterPartitionAssignmentsReq
	notes := make(kadm.TopicsSet)
	notes.Add("__transaction_state", 0)
	order.Assign("__transaction_state", 0, []int32{2, 3, 1})
	b.must(b.admin.AlterPartitionAssignments(t.Context(), order))
	b.whole()
	b.must(b.admin.ElectLeaders(t.Context(), kadm.ElectPreferredReplica, notes))
	b.whole()
	return b
}

func (b *trio) must(_ any, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *trio) addresses() string {
	var all []string
	for _, s := range b.servers {
		all = append(all, s.Address())
	}
	return strings.Join(all, ",")
}

// start starts a broker, again if it was there before.
func (b *trio) start(node int) {
	b.t.Helper()
	s, err := kafkaserver.Start(b.t.Context(), b.configs[node-1])
	if err != nil {
		b.t.Fatal(err)
	}
	b.servers[node-1] = s
	b.t.Cleanup(func() { _ = s.Kill() }) // which the test may have done
}

func (b *trio) kill(nodes ...int) {
	b.t.Helper()
	for _, node := range nodes {
		if err := b.servers[node-1].Kill(); err != nil {
			b.t.Error(err)
		}
	}
}

func (b *trio) stop(nodes ...int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	for _, node := range nodes {
		if err := b.servers[node-1].Stop(ctx); err != nil {
			b.t.Error(err)
		}
	}
}

// coordinator is the number of the broker that coordinates transactions; there is one for all of them.
func (b *trio) coordinator() int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	for {
		found := b.admin.FindTxnCoordinators(ctx, "any")
		if err := found.Error(); err == nil {
			return int(found["any"].NodeID)
		} else if ops.Sleep(ctx, 50*time.Millisecond) != nil {
			b.t.Fatalf("no coordinator: %v", err)
		}
	}
}

// whole waits until all replicas of all partitions have what their leaders have.
func (b *trio) whole() { b.t.Helper(); b.replicas(3) }

// alone waits until every partition has one replica that its leader knows of.
func (b *trio) alone() { b.t.Helper(); b.replicas(1) }

func (b *trio) replicas(inSync int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	for {
		wrong := 0
		topics, err := b.admin.ListTopicsWithInternal(ctx)
		topics.EachPartition(func(p kadm.PartitionDetail) {
			if p.Err != nil || p.Leader < 0 || len(p.ISR) != inSync {
				wrong++
			}
		})
		if err == nil && wrong == 0 {
			return
		}
		if ops.Sleep(ctx, 50*time.Millisecond) != nil {
			b.t.Fatalf("%d partitions have not %d replicas in sync: %v", wrong, inSync, err)
		}
	}
}

// TestBrokersFail_I4_I7: the leaders of partitions move, and so does the coordinator of the transaction that is under way. With two
// of three brokers away nothing can be published, and nothing is lost or published twice.
func TestBrokersFail_I4_I7(t *testing.T) {
	t.Parallel()
	b := startTrio(t)
	s := setupOn(t, testenv.Orders(t), b.addresses())
	_, stop := s.start()
	s.write(5, 2)
	s.published()
	for _, fault := range []struct {
		name  string
		hit   func(nodes ...int)
		nodes []int
	}{
		{"the coordinator is killed", b.kill, []int{2}},
		{"the coordinator is stopped", b.stop, []int{3}},
		{"two are killed", b.kill, []int{2, 3}},
		{"two are stopped", b.stop, []int{3, 2}},
	} {
		began, before := time.Now(), b.coordinator()
		hit := make(chan struct{})
		go func() {
			defer close(hit)
			fault.hit(fault.nodes...)
		}()
		for underway := true; underway; { // transactions are under way all along
			select {
			case <-hit:
				underway = false
			default:
				s.write(1, 2)
			}
		}
		if len(fault.nodes) == 1 {
			s.write(50, 2)
			s.published()
			if now := b.coordinator(); now == before {
				t.Errorf("%s: the coordinator is still %d", fault.name, now)
			}
		} else {
			b.alone()
			at := s.visible()
			s.write(50, 2)
			for range 200 { // longer than it would take to publish them
				if now := s.visible(); now != at {
					t.Fatalf("%s: %d events became %d, which one broker alone has", fault.name, at, now)
				}
			}
		}
		for _, node := range fault.nodes {
			b.start(node)
		}
		b.whole()
		s.write(5, 2)
		t.Logf("%s: %d events, in %v", fault.name, len(s.published()), time.Since(began).Round(time.Second))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// visible is how many events are committed by what a reader sees now.
func (s *system) visible() int64 {
	s.t.Helper()
	cp, found, err := checkpoint.Peek(s.t.Context(), s.kafka, checkpoint.Topic(s.config.Topic, s.config.Slot))
	if err != nil || !found {
		s.t.Fatalf("checkpoint: found %v, %v", found, err)
	}
	return cp.Events
}
