package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
	"github.com/adamkwhite/kafkafoodpipeline/relay/publish"
)

func has(key, value string) func(*patient) {
	return func(p *patient) { p.alter(p.topic(), key, value) }
}

// keeper makes the checkpoint topic.
func keeper(partitions int32, settings ...string) func(*patient) {
	return func(p *patient) {
		with := make(map[string]*string)
		for i := 0; i < len(settings); i += 2 {
			with[settings[i]] = &settings[i+1]
		}
		p.create(p.config.checkpointTopic(), partitions, with)
	}
}

var topicIlls = []ill{
	{"no topic", func(p *patient) { p.use(p.topic() + "_none") }, "topic", Wrong, "there is no topic", 4, true},
	{"compaction", has("cleanup.policy", "compact"), "cleanup.policy", Wrong, "compact", 4, true},
	{"retention by age", has("retention.ms", "604800000"), "retention", Warning, "retention.ms=604800000", 0, true},
	{"retention by size", has("retention.bytes", "1000000"), "retention", Warning, "retention.bytes=1000000", 0, true},
	{
		"small records only", has("max.message.bytes", "100000"), "max.message.bytes", Wrong,
		"100000, the outbox takes payloads of 524288", 4, true,
	},
	{
		"the broker's time", has("message.timestamp.type", "LogAppendTime"), "timestamps", Warning, "LogAppendTime", 0,
		true,
	},
	{
		"more replicas in sync than there are", has("min.insync.replicas", "2"), "replication", Wrong,
		"no write is ever acknowledged", 4, true,
	},
	{
		"a checkpoint that may be deleted", keeper(1, "cleanup.policy", "delete"), "checkpoint topic", Wrong,
		"may delete the checkpoint", 4, true,
	},
	{
		"a checkpoint topic of two partitions", keeper(2, "cleanup.policy", "compact"), "checkpoint topic", Wrong,
		"2 partitions", 4, false,
	},
	{
		"a topic of other partitions", func(p *patient) { p.use(testenv.Topic(p, strings.Join(p.config.Brokers, ","), 2)) },
		"topic", Warning, "has 2 partitions", 0, false,
	},
	{"a weaker checkpoint topic", func(p *patient) {
		p.alter(p.topic(), "min.insync.replicas", "2")
		keeper(1, "cleanup.policy", "compact", "min.insync.replicas", "1")(p)
	}, "checkpoint topic", Warning, "min.insync.replicas=1, the topic 2", 0, true},
}

func TestWhatIsWrongWithTheTopicsIsFoundAndItsRemedyMendsIt(t *testing.T) {
	t.Parallel()
	for _, i := range topicIlls {
		t.Run(i.name, func(t *testing.T) {
			t.Parallel()
			p := setup(t)
			p.want(p.found(Kafka, i.check), OK, "", 0)
			i.harm(p)
			f := p.found(Kafka, i.check)
			p.want(f, i.verdict, i.words, i.code)
			if i.mends {
				p.mended(f)
			}
		})
	}
}

// fake is a patient on a fake cluster of its own.
func fake(t *testing.T, opts ...kfake.Opt) *patient {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return setupOn(t, testenv.Orders(t), strings.Join(c.ListenAddrs(), ","))
}

func TestBrokersBefore4AreRefused(t *testing.T) {
	t.Parallel()
	p := fake(t, kfake.MaxVersions(kversion.V3_9_0()))
	p.want(p.found(Kafka, "version"), Wrong, "broker 0 is older than 4.0", 4)
	p.want(p.found(Kafka, "transaction.version"), Wrong, "0 on broker 0", 4)
	p = fake(t, kfake.MaxVersions(kversion.V4_0_0()))
	p.want(p.found(Kafka, "version"), OK, "", 0)
}

func TestTransactionsOfAnOldVersionAreRefusedUntilUpgraded(t *testing.T) {
	t.Parallel()
	p := fake(t)
	p.want(p.found(Kafka, "transaction.version"), OK, "2", 0)
	p.feature(transactionVersion, 1, safeDowngrade)
	f := p.found(Kafka, "transaction.version")
	p.want(f, Wrong, "1 on broker 0", 4)
	p.mended(f)
}

// TestTransactionTimeoutIsWhatTheRelayAsksFor holds this package's idea of it against what brokers are asked.
func TestTransactionTimeoutIsWhatTheRelayAsksFor(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]Verdict{"29999": Wrong, "30000": OK} {
		p := fake(t, kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": limit}))
		f := p.found(Kafka, "transaction.max.timeout.ms")
		if f.Verdict != want {
			t.Errorf("%s: got %+v, want %s", limit, f, want)
		}
		producer, err := publish.Open(t.Context(), publish.Config{
			Brokers: p.config.Brokers, TransactionalID: p.config.transactionalID(), CheckpointTopic: p.topic(), Topic: p.topic(), Layout: p.config.Layout, Log: p.config.Log,
		}, publish.Topic{Name: p.topic(), Partitions: 3, MaxMessageBytes: 1 << 20})
		if (err == nil) != (want == OK) {
			t.Errorf("%s: a relay's producer: %v, and the check says %s", limit, err, want)
		}
		if err == nil {
			producer.Close()
		}
	}
}

func TestReplicasThatAreTooFewAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		replicas int16
		least    string
		verdict  Verdict
		words    string
	}{
		{1, "1", Warning, "1 replica, on 3 brokers"},
		{3, "1", Warning, "may be on one broker alone"},
		{3, "2", OK, "3 replicas, of which 2"},
		{3, "3", Warning, "while one is away"},
	} {
		p := fake(t, kfake.NumBrokers(3))
		p.use(testenv.Name(t))
		_, err := kadm.NewClient(p.client).CreateTopic(t.Context(), 3, c.replicas,
			map[string]*string{"min.insync.replicas": &c.least}, p.topic())
		if err != nil {
			t.Fatal(err)
		}
		f := p.found(Kafka, "replication")
		p.want(f, c.verdict, c.words, 0)
		if c.verdict == Warning && c.replicas > 1 {
			p.mended(f)
		}
	}
}

func TestBrokersThatDoNotAnswerAreUnknown(t *testing.T) {
	t.Parallel()
	p := setup(t)
	p.config.Brokers = []string{"127.0.0.1:1"}
	p.want(p.found(Kafka, "brokers"), Unknown, "", ExitUnknown)
}

// login makes the patient one that logs in to a cluster with rights, and leaves to its client the administrator's.
func login(t *testing.T, acls ...kfake.ACL) *patient {
	t.Helper()
	p := fake(t)
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("SCRAM-SHA-512", "admin", "secret"), kfake.User("SCRAM-SHA-512", "relay", "secret", acls...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	admin, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...),
		kgo.SASL(scram.Auth{User: "admin", Pass: "secret"}.AsSha512Mechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.client, p.config.Brokers = admin, c.ListenAddrs()
	p.config.Security = kafka.Security{User: "relay", PasswordFile: file}
	forever := "-1"
	p.create(p.topic(), 3, map[string]*string{"retention.ms": &forever})
	return p
}

// TestRightsAreFoundMissingAndGivenOneByOne begins with a login without any right, and carries out what is said until there
// is nothing left to say.
func TestRightsAreFoundMissingAndGivenOneByOne(t *testing.T) {
	t.Parallel()
	p := login(t)
	p.want(p.found(Kafka, "topic"), Wrong, "TOPIC_AUTHORIZATION_FAILED", 4)
	p.want(p.found(Kafka, "cleanup.policy"), Unknown, "", 1)
	for _, check := range []string{
		"rights to the topic", "rights to the checkpoint topic",
		"right to the transactional id",
	} {
		f := p.found(Kafka, check)
		p.want(f, Wrong, "User:relay may not", 4)
		p.mended(f)
	}
	f := p.found(Kafka, "transaction.max.timeout.ms")
	p.want(f, Unknown, "CLUSTER_AUTHORIZATION_FAILED", 1)
	p.mended(f)
	r := Examine(t.Context(), p.config)
	for _, f := range r.Findings {
		if f.System == Kafka && f.Verdict != OK {
			t.Errorf("with all rights: %+v", f)
		}
	}
	keeper(1, "cleanup.policy", "compact")(p)
	p.want(p.found(Kafka, "rights to the checkpoint topic"), OK, "may write, read and describe", 0)
}

// To describe the transactional id is less than to write under it, and only the latter fences.
func TestARightToDescribeIsNotTakenForOneToWrite(t *testing.T) {
	t.Parallel()
	p := login(t)
	p.allow("kafka-acls.sh --add --allow-principal User:relay --operation Describe --transactional-id " + p.config.transactionalID())
	f := p.found(Kafka, "right to the transactional id")
	p.want(f, Wrong, "may describe", 4)
	p.mended(f)
}

// TestTheRightIsAskedForWithoutHarm asks while a transaction of the same id is open, which must commit.
func TestTheRightIsAskedForWithoutHarm_I6(t *testing.T) {
	t.Parallel()
	p := setup(t)
	producer, err := kgo.NewClient(kgo.SeedBrokers(p.config.Brokers...),
		kgo.TransactionalID(p.config.transactionalID()), kgo.DefaultProduceTopic(p.topic()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for range 3 {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		p.want(p.found(Kafka, "right to the transactional id"), OK, "its last transaction is Ongoing", 0)
		if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatalf("the transaction that was open meanwhile: %v", err)
		}
	}
}
