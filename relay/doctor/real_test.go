package doctor

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/adamkwhite/kafkafoodpipeline/internal/kafka"
	"github.com/adamkwhite/kafkafoodpipeline/internal/kafkaserver"
	"github.com/adamkwhite/kafkafoodpipeline/internal/ports"
	"github.com/adamkwhite/kafkafoodpipeline/internal/testenv"
)

// TestApacheKafkaAsItComesIsMendedByWhatIsPrinted is on a broker with its own settings, some worse, and an authorizer: what
// the fake one has not. The relay's login begins without any right.
func TestApacheKafkaAsItComesIsMendedByWhatIsPrinted(t *testing.T) {
	t.Parallel()
	if err := kafkaserver.Available(); err != nil {
		t.Skipf("run `make kafka` once: %v", err)
	}
	b := guarded(t)
	p := setupOn(t, testenv.Orders(t), b.open)
	p.config.Brokers = []string{b.address}
	p.config.Security = kafka.Security{User: "relay", PasswordFile: filepath.Join(t.TempDir(), "password")}
	p.password("another")
	p.want(p.found(Kafka, "brokers"), Wrong, "SASL_AUTHENTICATION_FAILED", 4)
	p.password("secret")

	p.want(p.found(Kafka, "topic"), Wrong, "TOPIC_AUTHORIZATION_FAILED", 4)
	p.settle()
	r := Examine(t.Context(), p.config)
	for _, key := range []string{
		"transaction.max.timeout.ms", "add.partitions.to.txn.retry.backoff.ms",
		"auto.create.topics.enable",
	} {
		f, _ := r.Find(Kafka, key)
		set, said := "", ""
		if len(f.Remedy) > 0 {
			set, said, _ = strings.Cut(f.Remedy[0], " ")
		}
		key, value, is := strings.Cut(set, "=")
		if f.Verdict == OK || !is || said != "in each broker's properties; restart them one by one" {
			t.Errorf("%s: got %+v", key, f)
		}
		b.properties[key] = value
	}
	b.restart()
	p.settle()
	r = Examine(t.Context(), p.config)
	for _, f := range r.Findings {
		if f.System == Kafka && f.Verdict != OK {
			t.Errorf("at the end: %+v", f)
		}
	}
}

// settle carries out what can be while the broker runs, until nothing of it is left to say. A right that is given lets the
// next question be asked, so one turn is not enough.
func (p *patient) settle() {
	p.Helper()
	for range 5 {
		done := false
		for _, f := range Examine(p.Context(), p.config).Findings {
			if f.System != Kafka || f.Verdict == OK {
				continue
			}
			p.Logf("%s: %s: %s: %q", f.Verdict, f.Check, f.Found, f.Remedy)
			for _, step := range f.Remedy {
				done = p.carryOut(step) || done
			}
		}
		if !done {
			return
		}
	}
	p.Fatal("there is always something left to do")
}

func (p *patient) password(text string) {
	p.Helper()
	if err := os.WriteFile(p.config.Security.PasswordFile, []byte(text+"\n"), 0o600); err != nil {
		p.Fatal(err)
	}
}

// broker is an Apache Kafka that asks at one address for a login, and at the other nobody who he is.
type broker struct {
	t             *testing.T
	open, address string
	properties    map[string]string
	config        kafkaserver.Config
	server        *kafkaserver.Server
}

func guarded(t *testing.T) *broker {
	t.Helper()
	var local [3]string
	var port [3]int
	for i := range port {
		var err error
		if port[i], err = ports.Free(); err != nil {
			t.Fatal(err)
		}
		local[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port[i]))
	}
	b := &broker{t: t, open: local[0], address: local[2], properties: map[string]string{
		"listeners": fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://%s,LOGIN://%s",
			local[0], local[1], local[2]),
		"controller.quorum.voters":                           "1@" + local[1],
		"listener.security.protocol.map":                     "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
		"sasl.enabled.mechanisms":                            "SCRAM-SHA-512",
		"authorizer.class.name":                              "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                        "User:ANONYMOUS",
		"listener.name.login.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",

		"add.partitions.to.txn.retry.backoff.ms": "20", // Kafka's own
		"auto.create.topics.enable":              "true",
		"transaction.max.timeout.ms":             "10000",
	}}
	b.config = kafkaserver.Config{Dir: t.TempDir(), Port: port[0]}
	b.start()
	t.Cleanup(func() { _ = b.server.Kill() }) // its data are thrown away
	client, err := kgo.NewClient(kgo.SeedBrokers(b.open))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	made, err := kadm.NewClient(client).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{
		User: "relay", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "secret",
	}})
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *broker) start() {
	b.t.Helper()
	b.config.Properties = maps.Clone(b.properties)
	server, err := kafkaserver.Start(b.t.Context(), b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.server = server
}

func (b *broker) restart() {
	b.t.Helper()
	if err := b.server.Stop(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	b.start()
}
