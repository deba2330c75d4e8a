package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
)

// target is the Kafka cluster and what was asked of it once.
type target struct {
	Config

	Topic     string // the one that is asked about
	client    *kgo.Client
	admin     *kadm.Client
	meta      kadm.Metadata
	payload   int               // bytes that the outbox takes as one payload; 0 for no bound, or notAsked
	topic     map[string]string // settings of the topic; nil if they could not be read
	keeper    map[string]string // settings of the checkpoint topic
	brokers   []map[string]string
	denied    error // why brokers is empty
	unsettled error // why topic is nil
}

var kafkaChecks = []check[*target]{
	{"brokers", func(t *target, _ context.Context) Finding {
		return ok("%d, cluster %s", len(t.meta.Brokers), t.meta.Cluster)
	}},
	{"version", (*target).version},
	{"transaction.version", (*target).transactions},
	{"topic", (*target).exists},
	{"rights to the topic", (*target).rights},
	{"rights to the checkpoint topic", (*target).keeperRights},
	{"right to the transactional id", (*target).identity},
	{"replication", (*target).replication},
	{"cleanup.policy", (*target).cleanup},
	{"retention", (*target).retention},
	{"max.message.bytes", (*target).largest},
	{"timestamps", (*target).timestamps},
	{"checkpoint topic", (*target).checkpoints},
	{"power loss", (*target).flush},
	{"transaction.max.timeout.ms", (*target).timeout},
	{"add.partitions.to.txn.retry.backoff.ms", (*target).backoff},
	{"transaction log", (*target).transactionLog},
	{"auto.create.topics.enable", (*target).autoCreate},
}

// ofTopic are the checks of one topic, which are made again for each.
var ofTopic = []string{
	"topic", "rights to the topic", "replication", "cleanup.policy", "retention", "max.message.bytes", "timestamps", "power loss",
}

func examineKafka(ctx context.Context, c Config, payload int, checks []check[*target], r *Report) {
	client, err := publish.Connect(c.Brokers, c.Security, c.Log)
	if err != nil {
		f := unknown(err, "KAFKA_BROKERS=HOST:PORT,...")
		f.System, f.Check = Kafka, "brokers"
		r.Findings = append(r.Findings, f)
		return
	}
	defer client.Close()
	t := &target{Config: c, client: client, admin: kadm.NewClient(client), payload: payload}
	topics := c.Topics
	if len(topics) == 0 { // none is known yet
		topics = []string{""}
		checks = slices.DeleteFunc(slices.Clone(checks), func(c check[*target]) bool { return slices.Contains(ofTopic, c.name) })
	}
	for _, t.Topic = range topics {
		if err := t.load(ctx); err != nil {
			f := t.unreachable(err)
			f.System, f.Check = Kafka, "brokers"
			r.Findings = append(r.Findings, f)
			return
		}
		ask(ctx, r, Kafka, t, checks)
		checks = slices.DeleteFunc(slices.Clone(checks), func(c check[*target]) bool { return !slices.Contains(ofTopic, c.name) })
	}
}

func (t *target) load(ctx context.Context) (err error) {
	if err := t.client.Ping(ctx); err != nil {
		return err
	}
	if t.meta, err = t.admin.BrokerMetadata(ctx); err != nil {
		return err
	}
	t.meta.Topics = make(kadm.TopicDetails)
	for _, name := range []string{t.Topic, t.checkpointTopic()} { // one by one: kadm answers for none if one is denied
		if name == "" {
			continue
		}
		m, err := t.admin.Metadata(kadm.WithAuthorizedOps(ctx), name)
		switch {
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			t.meta.Topics[name] = kadm.TopicDetail{Topic: name, Err: err}
		case err != nil:
			return err
		default:
			t.meta.Topics[name] = m.Topics[name]
		}
	}
	if t.Topic != "" {
		t.topic, t.unsettled = t.settings(ctx, t.Topic)
	}
	t.keeper, _ = t.settings(ctx, t.checkpointTopic()) // its check says why not
	configs, err := t.admin.DescribeBrokerConfigs(ctx, t.meta.Brokers.NodeIDs()...)
	for _, c := range configs {
		t.denied = errors.Join(t.denied, c.Err)
		if c.Err == nil {
			t.brokers = append(t.brokers, valued(c))
		}
	}
	t.denied = errors.Join(t.denied, err)
	return nil
}

func (t *target) settings(ctx context.Context, topic string) (map[string]string, error) {
	configs, err := t.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	if configs[0].Err != nil {
		return nil, configs[0].Err
	}
	return valued(configs[0]), nil
}

func valued(c kadm.ResourceConfig) map[string]string {
	values := make(map[string]string, len(c.Configs))
	for _, s := range c.Configs {
		values[s.Key] = s.MaybeValue()
	}
	return values
}

func (t *target) unreachable(err error) Finding {
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return unusable(err.Error(), "KAFKA_PASSWORD_FILE must hold the password of "+t.Security.User+"; else foodctl topics --logins DIR")
	case t.Security.CAFile == "":
		return unknown(err, "start Kafka, or correct KAFKA_BROKERS; if its listener wants TLS, KAFKA_CA_FILE=FILE")
	}
	return unknown(err, "start Kafka, or correct KAFKA_BROKERS and the files of KAFKA_CA_FILE, KAFKA_CERT_FILE and "+
		"KAFKA_KEY_FILE")
}

// produceKey and produceOf4 are the request that Kafka 4.0 gave this version: with it partitions join a transaction by
// being written to (KIP-890).
const (
	produceKey = 0
	produceOf4 = 12
)

func (t *target) version(ctx context.Context) Finding {
	versions, err := t.admin.ApiVersions(ctx)
	if err != nil {
		return unknown(err)
	}
	for _, v := range versions.Sorted() {
		if v.Err != nil {
			return unknown(fmt.Errorf("broker %d: %w", v.NodeID, v.Err), "start that broker")
		}
		if newest, _ := v.KeyMaxVersion(produceKey); newest < produceOf4 {
			return unusable(fmt.Sprintf("broker %d is older than 4.0: it takes Produce up to version %d", v.NodeID, newest),
				"upgrade the brokers to Apache Kafka 4.0 or later")
		}
	}
	return ok("4.0 or later, by the requests that the brokers take")
}

const transactionVersion = "transaction.version"

func (t *target) transactions(ctx context.Context) Finding {
	versions, err := t.admin.ApiVersions(ctx)
	if err != nil {
		return unknown(err)
	}
	for _, v := range versions.Sorted() {
		if v.Err != nil {
			return unknown(fmt.Errorf("broker %d: %w", v.NodeID, v.Err), "start that broker")
		}
		level := int16(0)
		for _, f := range v.Raw().FinalizedFeatures {
			if f.Name == transactionVersion {
				level = f.MaxVersionLevel
			}
		}
		if level < 2 {
			return unusable(fmt.Sprintf("%d on broker %d: a commit that was delayed on the way could end the "+
				"transaction after its own", level, v.NodeID),
				t.tool("kafka-features.sh")+" upgrade --feature "+transactionVersion+"=2")
		}
	}
	return ok("2")
}

// tool begins a command of Kafka's own.
func (t *target) tool(name string) string { return name + " --bootstrap-server " + t.Brokers[0] }

// set is the command that sets a topic's setting.
func (t *target) set(topic, key, value string) string {
	return fmt.Sprintf("%s --alter --entity-type topics --entity-name %s --add-config %s=%s",
		t.tool("kafka-configs.sh"), topic, key, value)
}

// setBrokers is the command that sets what all brokers may change while they run.
func (t *target) setBrokers(key, value string) string {
	return fmt.Sprintf("%s --alter --entity-type brokers --entity-default --add-config %s=%s",
		t.tool("kafka-configs.sh"), key, value)
}

// allow is the command that gives this login a right.
func (t *target) allow(operation, resource string) string {
	return fmt.Sprintf("%s --add --allow-principal '%s' --operation %s %s", t.tool("kafka-acls.sh"), t.principal(),
		operation, resource)
}

// principal is who the relay is to an authorizer, unless that maps names.
func (t *target) principal() string {
	if t.Security.User != "" {
		return "User:" + t.Security.User
	}
	if t.Security.CertFile != "" {
		if pair, err := tls.LoadX509KeyPair(t.Security.CertFile, t.Security.KeyFile); err == nil && pair.Leaf != nil {
			return "User:" + pair.Leaf.Subject.String()
		}
	}
	return "User:ANONYMOUS"
}
