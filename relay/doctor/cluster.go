package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

func (t *target) replication(context.Context) Finding {
	if f := t.absent(); f != nil {
		return *f
	}
	detail := t.meta.Topics[t.Topic]
	replicas := detail.Partitions.NumReplicas()
	least, err := strconv.Atoi(t.topic["min.insync.replicas"])
	if err != nil {
		return unknown(fmt.Errorf("min.insync.replicas: %w", err))
	}
	if replicas < least {
		return unusable(fmt.Sprintf("%d replicas, min.insync.replicas=%d: no write is ever acknowledged",
			replicas, least),
			t.set(t.Topic, "min.insync.replicas", strconv.Itoa(max(1, replicas-1))))
	}
	for _, p := range detail.Partitions.Sorted() {
		if in := len(p.ISR); in < least {
			return unusable(fmt.Sprintf("partition %d has %d replicas in sync, of %d that must be",
				p.Partition, in, least),
				fmt.Sprintf("start the brokers that are away, of %v", p.Replicas))
		} else if in < replicas {
			return warning(fmt.Sprintf("partition %d has %d of %d replicas in sync", p.Partition, in, replicas),
				fmt.Sprintf("start the brokers that are away, of %v", p.Replicas))
		}
	}
	switch {
	case t.topic["unclean.leader.election.enable"] == "true":
		return warning("a replica that lacks acknowledged events may become the leader",
			t.set(t.Topic, "unclean.leader.election.enable", "false"))
	case replicas == 1 && len(t.meta.Brokers) > 1:
		return warning(fmt.Sprintf("1 replica, on %d brokers: with that broker the topic is away", len(t.meta.Brokers)),
			"kafka-reassign-partitions.sh, to add replicas", t.set(t.Topic, "min.insync.replicas", "2"))
	case replicas > 1 && least == 1:
		return warning(fmt.Sprintf("%d replicas, min.insync.replicas=1: an acknowledged event may be on one broker "+
			"alone", replicas),
			t.set(t.Topic, "min.insync.replicas", strconv.Itoa(replicas-1)))
	case replicas > 1 && replicas == least:
		return warning(fmt.Sprintf("%d replicas, all of which must be in sync: nothing is published while one is away",
			replicas),
			t.set(t.Topic, "min.insync.replicas", strconv.Itoa(replicas-1)))
	}
	return ok("%d replicas, of which %d must be in sync", replicas, least)
}

// flush is about a broker that has no other to fetch from what it lost with its power.
func (t *target) flush(context.Context) Finding {
	if f := t.absent(); f != nil {
		return *f
	}
	if t.meta.Topics[t.Topic].Partitions.NumReplicas() > 1 {
		return ok("there are replicas")
	}
	if f := t.closed(); f != nil {
		return *f
	}
	const key = "log.flush.interval.messages"
	if _, rare := t.failing(key, func(n int64) bool { return n != 1 }); rare {
		return warning("no replicas, and "+key+" is not 1: a power cut loses acknowledged events, and relay run refuses",
			t.setBrokers(key, "1"))
	}
	return t.fine(key, "no replicas, and what is acknowledged is on the disk")
}

func (t *target) checkpoints(context.Context) Finding {
	name := t.checkpointTopic()
	detail := t.meta.Topics[name]
	switch {
	case errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
		return ok("%s is not there: a first start makes it", name)
	case detail.Err != nil:
		return unknown(detail.Err, "mend the rights above")
	case t.keeper == nil:
		return unknown(errors.New("its settings cannot be read"), t.allow("DescribeConfigs", "--topic "+name))
	case t.keeper["cleanup.policy"] != "compact":
		return unusable(fmt.Sprintf("%s has cleanup.policy=%s, which may delete the checkpoint", name,
			t.keeper["cleanup.policy"]),
			t.set(name, "cleanup.policy", "compact"))
	case len(detail.Partitions) != 1:
		return unusable(fmt.Sprintf("%s has %d partitions, want 1: which holds the last checkpoint?", name,
			len(detail.Partitions)),
			t.tool("kafka-topics.sh")+" --delete --topic "+name, recoverSlot)
	}
	of := t.meta.Topics[t.Topic].Partitions.NumReplicas()
	if have := detail.Partitions.NumReplicas(); have < of {
		return warning(fmt.Sprintf("%s has %d replicas, the topic %d: the checkpoint is lost before the events are",
			name, have, of),
			"kafka-reassign-partitions.sh, to add replicas",
			t.set(name, "min.insync.replicas", t.topic["min.insync.replicas"]))
	}
	if want := t.topic["min.insync.replicas"]; want != "" && t.keeper["min.insync.replicas"] != want {
		return warning(fmt.Sprintf("%s has min.insync.replicas=%s, the topic %s",
			name, t.keeper["min.insync.replicas"], want),
			t.set(name, "min.insync.replicas", want))
	}
	return ok("%s: compacted, 1 partition, %d replicas", name, detail.Partitions.NumReplicas())
}

// closed says why the brokers' settings are not known.
func (t *target) closed() *Finding {
	if t.denied == nil {
		return nil
	}
	remedy := "ask again when every broker answers"
	if errors.Is(t.denied, kerr.ClusterAuthorizationFailed) {
		remedy = t.allow("DescribeConfigs", "--cluster")
	}
	f := unknown(t.denied, remedy)
	return &f
}

// transactionTimeout is package publish's: a broker that allows less refuses the relay.
const transactionTimeout = 30 * time.Second

// failing looks at a setting of each broker that names it, and returns the first value that fails.
func (t *target) failing(key string, fails func(int64) bool) (value int64, failed bool) {
	for _, b := range t.brokers {
		if n, err := strconv.ParseInt(b[key], 10, 64); err == nil && fails(n) {
			return n, true
		}
	}
	return 0, false
}

// fine is the finding of brokers none of which fails; not every kind of broker has every setting.
func (t *target) fine(key, found string) Finding {
	for _, b := range t.brokers {
		if _, there := b[key]; there {
			return ok("%s", found)
		}
	}
	return ok("these brokers have no %s", key)
}

func (t *target) timeout(context.Context) Finding {
	if f := t.closed(); f != nil {
		return *f
	}
	const key = "transaction.max.timeout.ms"
	if n, low := t.failing(key, func(n int64) bool { return n < transactionTimeout.Milliseconds() }); low {
		return unusable(fmt.Sprintf("%d: the relay asks for %d", n, transactionTimeout.Milliseconds()),
			key+"=900000 in each broker's properties; restart them one by one")
	}
	return t.fine(key, "no less than the relay's "+transactionTimeout.String())
}

func (t *target) backoff(context.Context) Finding {
	if f := t.closed(); f != nil {
		return *f
	}
	const key = "add.partitions.to.txn.retry.backoff.ms"
	if n, slow := t.failing(key, func(n int64) bool { return n > 1 }); slow {
		return warning(fmt.Sprintf("%d: a transaction that follows another at once waits that long for it", n),
			key+"=1 in each broker's properties; restart them one by one")
	}
	return t.fine(key, "transactions follow one another at once")
}

func (t *target) transactionLog(context.Context) Finding {
	if f := t.closed(); f != nil {
		return *f
	}
	const key = "transaction.state.log.replication.factor"
	of := int64(t.meta.Topics[t.Topic].Partitions.NumReplicas())
	if n, few := t.failing(key, func(n int64) bool { return n < of }); few {
		return warning(fmt.Sprintf("%s=%d, the topic has %d: with one broker away nothing may be published",
			key, n, of),
			fmt.Sprintf("kafka-reassign-partitions.sh, to give __transaction_state %d replicas", of),
			fmt.Sprintf("%s=%d in each broker's properties", key, of))
	}
	return t.fine(key, "no fewer replicas than the topic")
}

func (t *target) autoCreate(context.Context) Finding {
	if f := t.closed(); f != nil {
		return *f
	}
	const key = "auto.create.topics.enable"
	for _, b := range t.brokers {
		if b[key] == "true" {
			return warning("true: a reader that comes before the topic, or mistypes its name, makes one with other "+
				"partitions", key+"=false in each broker's properties; restart them one by one")
		}
	}
	return t.fine(key, "off")
}
