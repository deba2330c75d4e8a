package kafkaserver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// properties is the broker's configuration file. The first node is broker and controller; what would be replicated is not.
func properties(c Config, controllerPort int) []byte {
	p := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.voters":                         fmt.Sprintf("1@127.0.0.1:%d", controllerPort),
		"controller.listener.names":                        "CONTROLLER",
		"listeners":                                        fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", c.Port, controllerPort),
		"log.dirs":                                         dataDir(c.Dir),
		"auto.create.topics.enable":                        "false",
		"default.replication.factor":                       "1",
		"min.insync.replicas":                              "1",
		"offsets.topic.replication.factor":                 "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",

		// 50 by default, and a crash makes the broker check each one's files.
		"offsets.topic.num.partitions":         "5",
		"transaction.state.log.num.partitions": "5",

		// A member that is alone need not wait for others to join.
		"group.initial.rebalance.delay.ms": "0",

		// A killed broker may register again when its old session has ended: after 9 s by default.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",

		// The default of 20 ms is most of a small transaction's time.
		"add.partitions.to.txn.retry.backoff.ms": "1",
	}
	if c.Join != nil {
		p["process.roles"], p["node.id"] = "broker", strconv.Itoa(c.Node)
		p["listeners"] = fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", c.Port)
	}
	maps.Copy(p, c.Properties)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", name, p[name])
	}
	return []byte(b.String())
}
